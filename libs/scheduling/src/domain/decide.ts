import type { Decisions } from './decisions.js';
import { decideByOrder } from './order/decide-by-order.js';
import { decideByPacking } from './packing/decide-by-packing.js';
import { beamtime, type Policy } from './policy.js';
import { decideByShares } from './shares/decide-by-shares.js';
import type { Snapshot } from './snapshot.js';

export type { Decisions, Placement } from './decisions.js';

/**
 * Which waiting jobs start where, and which running ones give way. Pure: the same snapshot, time, seed and policy give
 * the same answer, in production and in a simulation. Production leaves the policy out.
 */
export function decide(
  snapshot: Snapshot,
  nowMs: number,
  seed: number,
  policy: Policy = beamtime,
): Decisions {
  switch (policy.kind) {
    case 'shares':
      return decideByShares(snapshot, nowMs, seed, policy);
    case 'preemptive-order':
      return decideByOrder(snapshot, policy.rank);
    case 'packing':
      return decideByPacking(snapshot, seed, policy.score, policy.workload);
  }
}
