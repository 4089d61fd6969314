import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync, type WriteStream } from 'node:fs';

/** A program that the demo started: its log goes to a file, and it ends with the demo. */
export interface Child {
  readonly name: string;
  readonly process: ChildProcess;
  readonly logPath: string;
  readonly ended: Promise<number | null>;
}

/** How long an orderly end may take before it is forced. */
const orderlyEndMs = 20_000;

export function startChild(
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  logPath: string,
): Child {
  const log: WriteStream = createWriteStream(logPath, { flags: 'a' });
  // A group of its own: Ctrl-C reaches the demo first, which then ends its children in order.
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', (code) => {
      log.end();
      resolve(code);
    });
  });
  return { name, process: child, logPath, ended };
}

export async function endChild(child: Child): Promise<void> {
  if (child.process.exitCode !== null || child.process.signalCode !== null) return;
  child.process.kill('SIGTERM');
  const timer = setTimeout(() => child.process.kill('SIGKILL'), orderlyEndMs);
  await child.ended;
  clearTimeout(timer);
}

/** Kills a child and everything it started, at once, as a power cut would. Returns the pids. */
export async function killTree(child: Child): Promise<number[]> {
  const pids = [child.process.pid ?? 0, ...descendantsOf(child.process.pid ?? 0)].filter((pid) => pid > 0);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It had ended already.
    }
  }
  await child.ended;
  return pids;
}

/** Every process below this one: by /proc on Linux, by ps elsewhere. */
function descendantsOf(root: number): number[] {
  const parents = processParents();
  const found: number[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const [child, parent] of parents) {
      if (parent === pid) {
        found.push(child);
        queue.push(child);
      }
    }
  }
  return found;
}

function processParents(): [number, number][] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name): [number, number][] => {
        try {
          // pid (comm) state ppid …; comm may hold spaces and parentheses.
          const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
          return [[Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]];
        } catch {
          return [];
        }
      });
  } catch {
    return execFileSync('ps', ['-axo', 'pid=,ppid='], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  }
}
