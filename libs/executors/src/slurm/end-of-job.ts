import type { EndCause, ProgramStatus } from '../executor.js';

type Ended = Extract<ProgramStatus, { state: 'ended' }>;

/** What the batch script wrote when its program had ended: `CODE SIGNAL WHY`. Undefined for anything else. */
export function readEnd(text: string): Ended | undefined {
  const match = /^(\d{1,3}) (-|SIG[A-Z0-9+-]+) ([A-Za-z0-9-]+)\n?$/.exec(text);
  if (match === null) return undefined;
  const [, code = '', signal = '-', why = '-'] = match;
  const exitCode = Number(code);
  const end = signal === '-' ? { exitCode, signal: null } : { exitCode: null, signal };
  const cause = exitCode === 0 ? undefined : causeOf(why, exitCode);
  return { state: 'ended', ...end, ...(cause === undefined ? {} : { cause }) };
}

/** The exit code that means: state saved, run the same job again (EX_TEMPFAIL). */
const requeueExitCode = 75;

function causeOf(why: string, exitCode: number): EndCause | undefined {
  if (why === 'requeued')
    return { kind: 'preempted', detail: 'Slurm took its place away and queued it again' };
  if (why === 'orphaned')
    return { kind: 'node-failed', detail: 'the agent was gone for too long, and the program was ended' };
  // Saved because Slurm said so; a program that ends with 75 of its own accord, again and again, is not preempted.
  if ((why === 'USR1' || why === 'TERM' || why === 'asked') && exitCode === requeueExitCode)
    return {
      kind: 'preempted',
      detail: `Slurm asked it to save its state (${why}), as before its time or place is taken`,
    };
  if (why === 'TERM')
    return { kind: 'cancelled', detail: 'Slurm told it to end, as when somebody at the site cancels it' };
  return undefined;
}

/**
 * Why a program failed that Slurm was ending meanwhile: a job's processes are all told, its script not always. One
 * that still saved its state goes on elsewhere, whatever Slurm's reason was.
 */
export function explainEnd(end: Ended, output: string, timeWasCut: boolean): Ended {
  if (end.exitCode === 0 || end.cause !== undefined) return end;
  const state = stateFromWords(output);
  if (state === undefined) return end;
  const bySlurm = endFromSlurm({ state, reason: '', exitCode: undefined, timeWasCut });
  if (bySlurm.state !== 'ended' || bySlurm.cause === undefined) return end;
  const kind = end.exitCode === requeueExitCode ? 'preempted' : bySlurm.cause.kind;
  return { ...end, cause: { kind, detail: bySlurm.cause.detail } };
}

/** How Slurm says that a job ended whose script could not say it itself. */
export interface SlurmEnd {
  readonly state: string;
  readonly reason: string;
  /** `ExitCode=code:signal` of scontrol or sacct, where it is known. */
  readonly exitCode: string | undefined;
  /** The site's limit cut the job's own time short. */
  readonly timeWasCut: boolean;
}

export function endFromSlurm(end: SlurmEnd): ProgramStatus {
  const [code = '', signal = '0'] = (end.exitCode ?? '').split(':');
  const exit =
    signal !== '0'
      ? { exitCode: null, signal: `signal ${signal}` }
      : { exitCode: code === '' ? null : Number(code), signal: null };
  const reason = end.reason === '' || end.reason === 'None' ? '' : `, ${end.reason}`;
  const caused = (kind: EndCause['kind'], detail: string): ProgramStatus => ({
    state: 'ended',
    exitCode: null,
    signal: null,
    cause: { kind, detail: `${detail} (${end.state}${reason})` },
  });
  switch (end.state) {
    case 'COMPLETED':
      return { state: 'ended', exitCode: 0, signal: null };
    case 'TIMEOUT':
    case 'DEADLINE':
      return end.timeWasCut
        ? caused('preempted', "Slurm ended it at the partition's own time limit")
        : caused('time-limit', 'Slurm ended it at its time limit');
    case 'OUT_OF_MEMORY':
      return caused('out-of-memory', 'Slurm ended it for want of memory');
    case 'NODE_FAIL':
      return caused('node-failed', 'its node failed');
    case 'BOOT_FAIL':
    case 'LAUNCH_FAILED':
      return caused('node-failed', 'its node could not be started');
    case 'PREEMPTED':
      return caused('preempted', 'Slurm gave its place to a job of higher rank');
    case 'CANCELLED':
    case 'REVOKED':
      return caused('cancelled', 'somebody at the site cancelled it in Slurm');
    default:
      if (exit.exitCode === null && exit.signal === null)
        return { state: 'vanished', reason: `Slurm says ${end.state}${reason}, and nothing more is known` };
      return { state: 'ended', ...exit };
  }
}

/**
 * What slurmstepd writes into a job's output when it ends it: all that is left where the books are off and squeue has
 * forgotten the job.
 */
export function stateFromWords(output: string): string | undefined {
  if (/DUE TO TIME LIMIT/.test(output)) return 'TIMEOUT';
  if (/DUE TO PREEMPTION/.test(output)) return 'PREEMPTED';
  if (/DUE TO NODE FAILURE/.test(output)) return 'NODE_FAIL';
  if (/oom[-_]kill|Out Of Memory/i.test(output)) return 'OUT_OF_MEMORY';
  if (/CANCELLED AT/.test(output)) return 'CANCELLED';
  return undefined;
}
