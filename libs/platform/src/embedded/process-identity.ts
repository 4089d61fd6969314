import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * A process named so that a later reader cannot mistake another one for it: pids are reused, a pid together
 * with the moment that it was started is not.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

/** The process that has this pid now; undefined when none has, or only a zombie that nobody has reaped. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startFromProc(pid) : startFromPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export function isRunning(known: ProcessIdentity): boolean {
  return identifyProcess(known.pid)?.startedAt === known.startedAt;
}

export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startedAt } = value as Record<string, unknown>;
  return Number.isInteger(pid) && Number(pid) > 1 && typeof startedAt === 'string';
}

/** Fields of /proc/PID/stat after the parenthesised name, which may itself hold spaces: [0] state, [19] start. */
function startFromProc(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

function startFromPs(pid: number): string | undefined {
  try {
    const [state = '', ...started] = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .trim()
      .split(/\s+/);
    return started.length === 0 || state.startsWith('Z') ? undefined : started.join(' ');
  } catch {
    return undefined;
  }
}

const pollEveryMs = 20;

/** Waits until the process is gone; false when it still runs after the time given. */
export async function waitForEnd(known: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  for (const deadlineMs = Date.now() + timeoutMs; Date.now() < deadlineMs; ) {
    if (!isRunning(known)) return true;
    await new Promise((resolve) => setTimeout(resolve, pollEveryMs));
  }
  return !isRunning(known);
}

/** Signals in order of severity, each with the time that it is given to work. */
export type StopPlan = readonly (readonly [signal: NodeJS.Signals, waitMs: number])[];

/** Stops exactly this process, never another that has got its pid since; true when it is gone. */
export async function stopProcess(known: ProcessIdentity, plan: StopPlan): Promise<boolean> {
  for (const [signal, waitMs] of plan) {
    if (!isRunning(known)) return true;
    try {
      process.kill(known.pid, signal);
    } catch {
      // It ended between the look and the signal, or is not ours to signal: the wait below tells which.
    }
    if (await waitForEnd(known, waitMs)) return true;
  }
  return !isRunning(known);
}
