import type { BallotBox } from './ballot-box.js';
import type { CertifiedWinner } from './certificate.js';
import { type Count, idOf, losersOf, noRoomReason } from './certify.js';
import { takeGreedily } from './greedy.js';
import type { GreedyRule } from './tally-input.js';

export function countGreedily(box: BallotBox, rule: GreedyRule): Count {
  const outcome = takeGreedily(box, { utility: rule.utility, skip: rule.skip });
  const noRoom = noRoomReason(box, outcome.winners, outcome.stop, 1n);
  return {
    winners: votedIn(box, outcome.winners),
    losers: losersOf(box, outcome.winners, noRoom),
    ties: outcome.ties,
    grain: 1n,
    ...(outcome.stop === undefined ? {} : { stop: { project: idOf(box, outcome.stop), prices: [] } }),
  };
}

/** Winners by votes, for which nobody is charged. */
export function votedIn(box: BallotBox, winners: readonly number[]): CertifiedWinner[] {
  return winners.map((project) => ({ project: idOf(box, project), by: 'greedy', prices: [], payments: [] }));
}
