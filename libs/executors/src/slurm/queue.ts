/** Reads what squeue says of jobs, in a format that every version since 17 understands. */

/** Job id, state, reason, name: the name last, since somebody else's may hold the separator. */
export const queueFormat = '%i|%T|%r|%j';

export interface QueueEntry {
  /** `123`, or `123_4` for the task of an array. */
  readonly id: string;
  /** Task of an array; 0 for a job that is none. */
  readonly index: number;
  readonly state: string;
  readonly reason: string;
  readonly name: string;
}

const waitingStates = new Set([
  'PENDING',
  'CONFIGURING',
  'REQUEUED',
  'REQUEUE_HOLD',
  'REQUEUE_FED',
  'SPECIAL_EXIT',
  'RESV_DEL_HOLD',
]);
const liveStates = new Set([
  'RUNNING',
  'COMPLETING',
  'SUSPENDED',
  'STOPPED',
  'SIGNALING',
  'STAGE_OUT',
  'RESIZING',
]);

export type Phase = 'waiting' | 'live' | 'over';

/** A state that a later version may add counts as live: never as an end that has not happened. */
export function phaseOf(state: string): Phase {
  if (waitingStates.has(state)) return 'waiting';
  return liveStates.has(state) || !endStates.has(state) ? 'live' : 'over';
}

const endStates = new Set([
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TIMEOUT',
  'NODE_FAIL',
  'BOOT_FAIL',
  'PREEMPTED',
  'OUT_OF_MEMORY',
  'DEADLINE',
  'REVOKED',
  'LAUNCH_FAILED',
]);

/** Entries of jobs whose name begins with `prefix`; other lines are other people's. */
export function readQueue(text: string, prefix: string): QueueEntry[] {
  return text.split('\n').flatMap((line) => {
    const [id = '', state = '', reason = '', ...rest] = line.trim().split('|');
    const name = rest.join('|');
    const parts = /^(\d+)(?:_(\d+))?$/.exec(id);
    if (parts === null || !name.startsWith(prefix)) return [];
    return [{ id, index: Number(parts[2] ?? 0), state, reason, name }];
  });
}
