import { commandExitCodes, runnerExitCodes } from '@beamtime/contracts';
import type { EndCause, ProgramStatus } from '@beamtime/executors';

/** Why this side asked a program to end. */
export interface StopWish {
  readonly kind: 'cancel' | 'preempt' | 'time';
  readonly reason: string;
}

export interface Outcome {
  readonly state: 'succeeded' | 'failed' | 'cancelled' | 'preempted';
  readonly reason?: string;
  readonly exitCode?: number;
  readonly retriable?: boolean;
}

export interface Ending {
  readonly kind: string;
  readonly status: ProgramStatus;
  readonly wish: StopWish | undefined;
  /** What the runner itself said went wrong. */
  readonly failed:
    | { readonly code: string; readonly detail: string; readonly exitCode?: number | null }
    | undefined;
  readonly stderrTail: string;
}

/** What the end of a program means for its attempt. Work that was done counts even if somebody wished it to stop. */
export function outcomeOf(ending: Ending): Outcome {
  const { status, wish, kind } = ending;
  const exitCode = status.state === 'ended' ? (status.exitCode ?? undefined) : undefined;
  const code = exitCode === undefined ? {} : { exitCode };
  if (exitCode === runnerExitCodes.done) return { state: 'succeeded', ...code };
  if (wish?.kind === 'cancel') return { state: 'cancelled', reason: wish.reason, ...code };
  if (wish?.kind === 'preempt') return { state: 'preempted', reason: wish.reason, ...code };
  if (wish?.kind === 'time') {
    // A model that was served as long as was asked for has been served.
    if (kind === 'serve') return { state: 'succeeded', reason: wish.reason, ...code };
    return { state: 'failed', reason: wish.reason, retriable: false, ...code };
  }
  const cause = status.state === 'ended' && ending.failed === undefined ? status.cause : undefined;
  if (cause !== undefined) return { ...afterCause(cause, kind), ...code };
  const reason =
    ending.failed === undefined ? unexplained(ending) : `${ending.failed.code}: ${ending.failed.detail}`;
  // A command that ended badly would end so again; its own exit code says more than its runner's.
  const ofCommand = kind === 'command' && exitCode === commandExitCodes.commandFailed;
  return {
    state: 'failed',
    reason,
    retriable: exitCode !== runnerExitCodes.badInput && !ofCommand,
    ...(ofCommand && ending.failed?.exitCode != null ? { exitCode: ending.failed.exitCode } : code),
  };
}

/** A batch system ended it. Its place is what was lost, unless the job's own bound was reached. */
function afterCause({ kind: cause, detail }: EndCause, kind: string): Outcome {
  switch (cause) {
    case 'preempted':
    case 'not-started':
      return { state: 'preempted', reason: detail };
    case 'time-limit':
      if (kind === 'serve') return { state: 'succeeded', reason: detail };
      return { state: 'failed', reason: detail, retriable: false };
    case 'out-of-memory':
    case 'node-failed':
    case 'cancelled':
      return { state: 'failed', reason: detail, retriable: true };
  }
}

function unexplained({ status, stderrTail }: Ending): string {
  const tail = stderrTail.trim().split('\n').slice(-5).join('\n');
  const said = tail === '' ? '' : `; its last words: ${tail}`;
  if (status.state !== 'ended') {
    const why = status.state === 'vanished' && status.reason !== undefined ? `: ${status.reason}` : '';
    return `the program vanished without a trace${why}${said}`;
  }
  if (status.signal === 'SIGKILL') return `the program was killed (SIGKILL), as when memory runs out${said}`;
  if (status.signal !== null) return `the program was ended by ${status.signal}${said}`;
  if (status.exitCode === runnerExitCodes.requeue) return 'the program was interrupted by somebody else';
  return `the program ended with exit code ${status.exitCode}${said}`;
}
