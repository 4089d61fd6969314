import type { Contest, PartialCount } from './count-outcome.js';

/** One winner among the proposals, which must beat "none of these"; by Schulze's method. */
export function countSingleWinner(_contest: Contest, _quorum: number): PartialCount {
  throw new Error('to be counted by the engine');
}
