import { invariant, present } from '@beamtime/kernel';
import type { YesNo } from './check-ballot.js';
import { type Contest, fitsBudget, type Loser, type PartialCount, type Winner } from './count-outcome.js';
import type { FrozenBudget, FrozenProposal } from './frozen-round.js';
import {
  type DoubleMajorityInput,
  type DoubleMajorityOutcome,
  doubleMajority,
} from './tally/double-majority.js';
import { drawLot } from './tally/lot.js';
import { compare, parseRational, zero } from './tally/rational.js';
import { sealDecision } from './tally/seal-decision.js';

interface LabVotes {
  readonly voterId: string;
  readonly votes: Readonly<Record<string, YesNo>>;
}

/** How one proposal fared. */
interface Question {
  readonly proposal: FrozenProposal;
  readonly input: DoubleMajorityInput;
  readonly outcome: DoubleMajorityOutcome;
}

/**
 * Each proposal by itself: two thirds of the contributions and two thirds of the labs that vote. Where those adopted
 * cost more than there is, or are variants of each other, the one with more contributions behind it comes first.
 */
export function countDoubleMajority(contest: Contest, quorum: number): PartialCount {
  const votes = contest.ballots.map(({ voterId, content }): LabVotes => {
    invariant(content.kind === 'yes-no', `a ${content.kind} ballot in a double majority`);
    return { voterId, votes: content.votes };
  });
  const questions = contest.proposals.map((proposal) => ask(contest, proposal, votes, quorum));
  const winners: Winner[] = [];
  const losers: Loser[] = questions
    .filter(({ outcome }) => !outcome.adopted)
    .map(({ proposal, outcome }) => ({ proposalId: proposal.proposalId, reason: reasonText(outcome) }));
  let left: readonly FrozenBudget[] = contest.budgets;
  const taken = new Set<string>();
  for (const { proposal, outcome } of inOrder(contest, questions)) {
    const { proposalId, exclusiveGroup } = proposal;
    if (exclusiveGroup !== null && taken.has(exclusiveGroup)) {
      losers.push({ proposalId, reason: 'Adopted, but another variant had more behind it' });
    } else if (!fitsBudget(left, proposal)) {
      losers.push({ proposalId, reason: 'Adopted, but the budget was gone to what had more behind it' });
    } else {
      winners.push({ proposalId, how: 'rule', reason: reasonText(outcome) });
      left = without(left, proposal);
      if (exclusiveGroup !== null) taken.add(exclusiveGroup);
    }
  }
  return {
    winners,
    losers,
    ties: [],
    alternatives: [],
    certificate: sealDecision({
      format: 'beamtime-double-majority/1',
      questions: questions.map(({ proposal, input, outcome }) => ({
        proposal: proposal.proposalId,
        input,
        outcome,
      })),
    }),
  };
}

/** The flagship, if a candidate reaches the double majority and the budget can pay it. */
export function decideFlagship(
  contest: Contest,
  votes: readonly LabVotes[],
): { proposal: FrozenProposal; winner: Winner } | undefined {
  const questions = contest.proposals
    .filter((proposal) => proposal.flagship && fitsBudget(contest.budgets, proposal))
    .map((proposal) => ask(contest, proposal, votes, 0));
  const [first] = inOrder(contest, questions);
  if (first === undefined) return undefined;
  const { proposal, outcome } = first;
  const reason = `Flagship: ${reasonText(outcome)}`;
  return { proposal, winner: { proposalId: proposal.proposalId, how: 'flagship', reason } };
}

function ask(
  contest: Contest,
  proposal: FrozenProposal,
  votes: readonly LabVotes[],
  quorum: number,
): Question {
  const input: DoubleMajorityInput = {
    quorum,
    votes: votes.map(({ voterId, votes: cast }) => {
      const { labId, contribution, inArrears } = present(contest.roll.get(voterId), `voter ${voterId}`);
      const vote = cast[proposal.proposalId] ?? 'abstain';
      return { lab: labId, contribution: `${contribution}`, vote, inArrears };
    }),
  };
  return { proposal, input, outcome: doubleMajority(input) };
}

/** Those adopted: more contributions first, then more labs, then the lot; the order of names never decides. */
function inOrder(contest: Contest, questions: readonly Question[]): Question[] {
  const amount = (question: Question) => parseRational(question.outcome.contributionsYes) ?? zero;
  const lot = (question: Question) => drawLot(contest.seed, question.proposal.proposalId);
  return questions
    .filter(({ outcome }) => outcome.adopted)
    .sort(
      (x, y) =>
        compare(amount(y), amount(x)) || y.outcome.labsYes - x.outcome.labsYes || (lot(x) < lot(y) ? -1 : 1),
    );
}

function without(budgets: readonly FrozenBudget[], proposal: FrozenProposal): FrozenBudget[] {
  return budgets.map((budget) =>
    budget.gpuType === proposal.gpuType
      ? { ...budget, gpuSeconds: budget.gpuSeconds - (proposal.gpuSeconds ?? 0) }
      : budget,
  );
}

function reasonText(outcome: DoubleMajorityOutcome): string {
  const { labsYes, labsVoting, contributionsYes, contributionsVoting, barred } = outcome;
  const counts = `${labsYes} of ${labsVoting} labs and ${contributionsYes} of ${contributionsVoting} contributions for it`;
  const arrears = barred.length === 0 ? '' : `; ${barred.length} in arrears not counted`;
  switch (outcome.reason) {
    case 'adopted':
      return `${counts}${arrears}`;
    case 'no_quorum':
      return `Only ${labsVoting} labs voted yes or no: no quorum${arrears}`;
    case 'labs_short':
      return `${counts}: fewer than two thirds of the labs${arrears}`;
    case 'contributions_short':
      return `${counts}: less than two thirds of the contributions${arrears}`;
  }
}
