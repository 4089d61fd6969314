import type { TransitionTable } from '@beamtime/kernel';

/**
 * One try to run a job on one cluster. A report may be lost and the next one say more, so states on the way may be
 * skipped; none is ever taken back.
 */
export type AttemptState =
  | 'offered'
  | 'accepted'
  | 'staging'
  | 'running'
  | 'finalizing'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'preempted'
  | 'lost'
  | 'expired';

export const attemptLifecycle = {
  offered: ['accepted', 'expired', 'cancelled'],
  accepted: ['staging', 'running', 'finalizing', 'failed', 'cancelled', 'preempted', 'lost'],
  staging: ['running', 'finalizing', 'failed', 'cancelled', 'preempted', 'lost'],
  running: ['finalizing', 'succeeded', 'failed', 'cancelled', 'preempted', 'lost'],
  finalizing: ['succeeded', 'failed', 'cancelled', 'preempted', 'lost'],
  succeeded: [],
  failed: [],
  cancelled: [],
  preempted: [],
  lost: [],
  expired: [],
} as const satisfies TransitionTable<AttemptState>;

/** States in which an agent holds the attempt under a lease. */
export const heldStates = ['accepted', 'staging', 'running', 'finalizing'] as const;
/** States in which a job has an attempt and gets no other. */
export const liveStates = ['offered', ...heldStates] as const;

export type EndedAttempt = 'succeeded' | 'failed' | 'cancelled' | 'preempted' | 'lost' | 'expired';

export function isLive(state: AttemptState): boolean {
  return (liveStates as readonly AttemptState[]).includes(state);
}
export function isHeld(state: AttemptState): boolean {
  return (heldStates as readonly AttemptState[]).includes(state);
}
