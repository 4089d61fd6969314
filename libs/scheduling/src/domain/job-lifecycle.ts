import type { TransitionTable } from '@beamtime/kernel';

/** A job's state follows from its attempts: `running` means that it has a live one. */
export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

export const jobLifecycle = {
  queued: ['running', 'failed', 'cancelled'],
  running: ['queued', 'succeeded', 'failed', 'cancelled'],
  succeeded: [],
  failed: [],
  cancelled: [],
} as const satisfies TransitionTable<JobState>;
