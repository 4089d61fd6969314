import { flagshipVotesOf } from './check-ballot.js';
import { countBudget } from './count-budget.js';
import { countDoubleMajority, decideFlagship } from './count-double-majority.js';
import type { Contest, CountedBallot, CountTie, Loser, PartialCount, Winner } from './count-outcome.js';
import { countSingleWinner } from './count-single-winner.js';
import type { FrozenBudget, FrozenProposal, FrozenRound } from './frozen-round.js';

export type Outcome = 'adopted' | 'nothing-adopted' | 'no-quorum' | 'no-ballots';

export interface CountOutcome {
  readonly outcome: Outcome;
  readonly summary: string;
  readonly turnout: { ballots: number; onRoll: number; quorumBallots: number; quorumMet: boolean };
  readonly budgets: readonly (FrozenBudget & { readonly spentGpuSeconds: number })[];
  readonly winners: readonly (Winner & { readonly order: number })[];
  readonly losers: readonly Loser[];
  readonly ties: readonly CountTie[];
  readonly alternatives: PartialCount['alternatives'];
  readonly certificate: object | null;
  readonly shared?: PartialCount['shared'];
}

/**
 * Counts a round from what was frozen, the ballots and the seed, and nothing else. Pure: whoever has the same three
 * gets the same outcome, in whatever order the ballots come.
 */
export function countRound(
  frozen: FrozenRound,
  ballots: readonly CountedBallot[],
  seed: string,
): CountOutcome {
  const { quorumBallots } = frozen.charter;
  const turnout = {
    ballots: ballots.length,
    onRoll: frozen.roll.length,
    quorumBallots,
    quorumMet: ballots.length >= quorumBallots,
  };
  const contest: Contest = {
    frozen,
    budgets: frozen.budgets,
    proposals: frozen.proposals,
    roll: new Map(frozen.roll.map((entry) => [entry.voterId, entry])),
    ballots: [...ballots].sort((a, b) => (a.voterId < b.voterId ? -1 : 1)),
    seed,
  };
  if (ballots.length === 0)
    return conclude(contest, turnout, nothing(contest, 'No ballot was cast'), 'no-ballots');
  const counted = countByRule(contest);
  if (turnout.quorumMet) return conclude(contest, turnout, counted);
  const why = `${ballots.length} ballots are fewer than the quorum of ${quorumBallots}`;
  return conclude(
    contest,
    turnout,
    { ...nothing(contest, why), certificate: counted.certificate },
    'no-quorum',
  );
}

function countByRule(contest: Contest): PartialCount {
  const { charter } = contest.frozen;
  if (charter.rule.name === 'schulze') return countSingleWinner(contest, charter.rule.quorum);
  if (charter.rule.name === 'double-majority') return countDoubleMajority(contest, charter.rule.quorum);
  if (!charter.flagship) return countBudget(contest);
  return countAfterFlagship(contest);
}

/** First the flagship by double majority, then the rest of the budget among the rest of the suites. */
function countAfterFlagship(contest: Contest): PartialCount {
  const votes = contest.ballots.map(({ voterId, content }) => ({ voterId, votes: flagshipVotesOf(content) }));
  const flagship = decideFlagship(contest, votes);
  if (flagship === undefined) return countBudget(contest);
  const { proposal, winner } = flagship;
  const excluded = contest.proposals.filter(
    (other) =>
      other !== proposal && other.exclusiveGroup !== null && other.exclusiveGroup === proposal.exclusiveGroup,
  );
  const rest = countBudget({
    ...contest,
    budgets: contest.budgets.map((budget) => ({
      ...budget,
      gpuSeconds: budget.gpuSeconds - costIn(proposal, budget.gpuType),
    })),
    proposals: contest.proposals.filter((other) => other !== proposal && !excluded.includes(other)),
  });
  const variants = excluded.map(({ proposalId }) => ({
    proposalId,
    reason: `Another variant became the flagship: ${proposal.title}`,
  }));
  return { ...rest, winners: [winner, ...rest.winners], losers: [...rest.losers, ...variants] };
}

function costIn(proposal: FrozenProposal, gpuType: string): number {
  return proposal.gpuType === gpuType ? (proposal.gpuSeconds ?? 0) : 0;
}

function nothing(contest: Contest, reason: string): PartialCount {
  return {
    winners: [],
    losers: contest.proposals.map(({ proposalId }) => ({ proposalId, reason })),
    ties: [],
    alternatives: [],
    certificate: null,
  };
}

function conclude(
  contest: Contest,
  turnout: CountOutcome['turnout'],
  count: PartialCount,
  failed?: 'no-quorum' | 'no-ballots',
): CountOutcome {
  const won = count.winners.flatMap(({ proposalId }) =>
    contest.frozen.proposals.filter((proposal) => proposal.proposalId === proposalId),
  );
  const outcome = failed ?? (won.length > 0 ? 'adopted' : 'nothing-adopted');
  const budgets = contest.frozen.budgets.map((budget) => ({
    ...budget,
    spentGpuSeconds: won.reduce((sum, proposal) => sum + costIn(proposal, budget.gpuType), 0),
  }));
  return {
    outcome,
    summary: summaryOf(outcome, turnout, won),
    turnout,
    budgets,
    winners: count.winners.map((winner, index) => ({ ...winner, order: index + 1 })),
    losers: count.losers,
    ties: count.ties,
    alternatives: count.alternatives,
    certificate: count.certificate,
    shared: count.shared,
  };
}

function summaryOf(
  outcome: Outcome,
  turnout: CountOutcome['turnout'],
  won: readonly FrozenProposal[],
): string {
  const cast = `${turnout.ballots} of ${turnout.onRoll} voters cast a ballot`;
  switch (outcome) {
    case 'no-ballots':
      return 'Nobody cast a ballot: nothing is adopted';
    case 'no-quorum':
      return `${cast}, fewer than the quorum of ${turnout.quorumBallots}: nothing is adopted`;
    case 'nothing-adopted':
      return `${cast}; no proposal was adopted`;
    case 'adopted':
      return `${cast}; adopted: ${won.map(({ title }) => title).join('; ')}`;
  }
}
