import type { Situation } from './situation.js';
import { type Cap, isEarlier, type JobNow, type Queue } from './state.js';

/** Whether a quota of GPUs keeps a job from starting, as far as the decision has come. */
export function isCapped(job: JobNow): boolean {
  for (const cap of job.shape.caps) if (lacksRoom(cap, job) || isKeptFromIt(cap, job)) return true;
  return false;
}

export function lacksRoom(cap: Cap, job: JobNow): boolean {
  return cap.left < job.gpus;
}

/** Whether the room under a quota is kept for another job, whose turn is earlier. */
export function isKeptFromIt({ keptFor }: Cap, job: JobNow): boolean {
  return keptFor !== null && keptFor !== job && !isEarlier(job, keptFor);
}

/** A job that starts, or for which room is being made, uses its quotas. */
export function takeRoom(job: JobNow): void {
  for (const cap of job.shape.caps) cap.left -= job.gpus;
}

/**
 * Small jobs under a quota would for ever take what becomes free before a large one has enough of it. So the room is
 * kept for the first that is new, has waited as long as for a cluster's reservation, lacks room under the quota, and
 * could run but for that: nothing under the quota that has a later turn starts meanwhile.
 */
export function keepRoom(situation: Situation, nowMs: number): void {
  const { reserveAfterMs } = situation.policy;
  if (reserveAfterMs === null) return;
  for (const { queues } of situation.owners) {
    for (const [shape, heap] of (queues[0] as Queue).shapes) {
      if (shape.caps.length === 0) continue;
      const head = situation.headOf(heap);
      if (head === undefined || nowMs - head.queuedMs < reserveAfterMs) continue;
      if (head.retryAtMs !== null && head.retryAtMs > nowMs) continue;
      if (shape.caps.some(({ gpus }) => gpus < head.gpus)) continue;
      if (!shape.reach.some((cluster) => cluster.gpus >= head.gpus)) continue;
      for (const cap of shape.caps) {
        if (!lacksRoom(cap, head)) continue;
        if (cap.keptFor === null || isEarlier(head, cap.keptFor)) cap.keptFor = head;
      }
    }
  }
}
