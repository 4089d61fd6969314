import type { EndedAttempt } from './attempt-lifecycle.js';

/** What of a job decides what becomes of it when an attempt has ended. */
export interface JobAtAttemptEnd {
  readonly cancelRequested: boolean;
  readonly cancelReason: string | null;
  /** Failed and lost attempts so far, this one included. */
  readonly failures: number;
  readonly attemptLimit: number;
  readonly secondsUsed: number;
  readonly maxSeconds: number;
  /** Whether another attempt may end otherwise. */
  readonly retriable: boolean;
}

export type AfterAttempt =
  | {
      readonly kind: 'end';
      readonly state: 'succeeded' | 'failed' | 'cancelled';
      readonly reason: string | null;
    }
  | { readonly kind: 'requeue'; readonly waitMs: number; readonly reason: string };

const backoffBaseMs = 1_000;
const backoffMaxMs = 300_000;

/**
 * What becomes of a job after an attempt. Success stands even if somebody wished to cancel meanwhile: the work is
 * done. A lost agent is not the job's fault, so it goes on at once; a failure waits longer each time.
 */
export function afterAttempt(
  outcome: EndedAttempt,
  reason: string | null,
  job: JobAtAttemptEnd,
): AfterAttempt {
  if (outcome === 'succeeded') return { kind: 'end', state: 'succeeded', reason: null };
  if (outcome === 'cancelled' || job.cancelRequested) {
    return { kind: 'end', state: 'cancelled', reason: job.cancelReason ?? reason ?? 'cancelled' };
  }
  if (outcome === 'expired') {
    return { kind: 'requeue', waitMs: 0, reason: reason ?? 'the cluster did not take the offer in time' };
  }
  if (job.secondsUsed >= job.maxSeconds) {
    return {
      kind: 'end',
      state: 'failed',
      reason: `the time bound of ${job.maxSeconds} s was used up (${job.secondsUsed} s)`,
    };
  }
  if (outcome === 'preempted') return { kind: 'requeue', waitMs: 0, reason: reason ?? 'preempted' };
  if (!job.retriable) return { kind: 'end', state: 'failed', reason: reason ?? 'failed' };
  if (job.failures >= job.attemptLimit) {
    return {
      kind: 'end',
      state: 'failed',
      reason: `${job.failures} of ${job.attemptLimit} attempts failed; the last one: ${reason ?? outcome}`,
    };
  }
  const waitMs =
    outcome === 'lost' ? 0 : Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(job.failures - 1, 20));
  return { kind: 'requeue', waitMs, reason: reason ?? outcome };
}
