import { invariant, present } from '@beamtime/kernel';
import { noneOfThese } from './check-ballot.js';
import { type Contest, fitsBudget, type Loser, type PartialCount } from './count-outcome.js';
import { type SchulzeInput, type SchulzeLoser, schulze } from './tally/schulze.js';
import { sealDecision } from './tally/seal-decision.js';

/**
 * One winner among the proposals, by Schulze's method, or none: every option must beat "none of these". A voter who
 * does not rank "none of these" holds all that is ranked above it, and all that is left out below it.
 */
export function countSingleWinner(contest: Contest, quorum: number): PartialCount {
  const standing = contest.proposals.filter((proposal) => fitsBudget(contest.budgets, proposal));
  const options = standing.map(({ proposalId }) => proposalId);
  const input: SchulzeInput = {
    options,
    defaultOption: noneOfThese,
    quorum: `${quorum}`,
    seed: contest.seed,
    ballots: contest.ballots.map(({ voterId, content }) => {
      invariant(content.kind === 'ranking', `a ${content.kind} ballot in a ranking`);
      const ranked = content.ranking.some((tier) => tier.includes(noneOfThese));
      const ranking = ranked ? content.ranking : [...content.ranking, [noneOfThese]];
      return { id: voterId, weight: present(contest.roll.get(voterId), voterId).weight, ranking };
    }),
  };
  const outcome = schulze(input);
  const titleOf = (id: string): string =>
    id === noneOfThese
      ? 'none of these'
      : (contest.proposals.find(({ proposalId }) => proposalId === id)?.title ?? id);
  const level = outcome.level.filter((option) => option !== noneOfThese);
  const losers: Loser[] = outcome.losers.map(({ option, reason }) => ({
    proposalId: option,
    reason: lossText(reason, titleOf),
  }));
  for (const { proposalId } of contest.proposals) {
    if (options.includes(proposalId)) continue;
    losers.push({ proposalId, reason: 'It costs more than the budget' });
  }
  return {
    winners:
      outcome.winner === noneOfThese
        ? []
        : [
            {
              proposalId: outcome.winner,
              how: 'rule',
              reason: 'It beat every other option and none of these',
            },
          ],
    losers,
    ties: level.length > 1 ? [{ tied: level, chosen: outcome.winner, by: 'lot' }] : [],
    alternatives: [],
    certificate: sealDecision({ format: 'beamtime-single-winner/1', input, outcome }),
  };
}

function lossText(reason: SchulzeLoser['reason'], titleOf: (id: string) => string): string {
  switch (reason.code) {
    case 'below_quorum':
      return `A vote of ${reason.votes} above none of these is below the quorum`;
    case 'not_above_default':
      return `${reason.votes} ranked it above none of these, ${reason.against} below`;
    case 'beaten':
      return `Beaten by ${titleOf(reason.by)}`;
    case 'lot':
      return 'Level with the winner; the lot decided';
  }
}
