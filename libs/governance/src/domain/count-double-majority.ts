import type { YesNo } from './check-ballot.js';
import type { Contest, PartialCount, Winner } from './count-outcome.js';
import type { FrozenProposal } from './frozen-round.js';

/** Each proposal by itself: two thirds of the contributions and two thirds of the labs that vote. */
export function countDoubleMajority(_contest: Contest, _quorum: number): PartialCount {
  throw new Error('to be counted by the engine');
}

export function decideFlagship(
  _contest: Contest,
  _votes: readonly { voterId: string; votes: Readonly<Record<string, YesNo>> }[],
): { proposal: FrozenProposal; winner: Winner } | undefined {
  return undefined;
}
