import {
  add,
  compare,
  multiply,
  parseRational,
  type Rational,
  rational,
  rationalText,
  zero,
} from './rational.js';

/** A question of money or membership, decided as SKAO and CERN do. */
export interface DoubleMajorityInput {
  readonly votes: readonly DoubleMajorityVote[];
  /** What both majorities must reach; two thirds when absent. */
  readonly share?: string;
  /** How many labs must vote yes or no for the vote to count. 0 when absent. */
  readonly quorum?: number;
}

export interface DoubleMajorityVote {
  readonly lab: string;
  /** What the lab contributes, zero or more: its weight in the first majority. */
  readonly contribution: string;
  readonly vote: 'yes' | 'no' | 'abstain';
  /** A lab in arrears cannot vote. */
  readonly inArrears: boolean;
}

export interface DoubleMajorityOutcome {
  readonly adopted: boolean;
  readonly reason: 'adopted' | 'no_quorum' | 'contributions_short' | 'labs_short';
  readonly labsYes: number;
  readonly labsVoting: number;
  readonly contributionsYes: string;
  readonly contributionsVoting: string;
  /** Labs whose vote did not count because they are in arrears. */
  readonly barred: readonly string[];
}

const twoThirds: Rational = { n: 2n, d: 3n };

/**
 * Adopted by at least two thirds of the contributions and at least two thirds of the labs, of those that vote yes or
 * no. Abstentions count for neither; without any vote nothing is adopted.
 */
export function doubleMajority(input: DoubleMajorityInput): DoubleMajorityOutcome {
  const share = (input.share === undefined ? undefined : parseRational(input.share)) ?? twoThirds;
  const barred = input.votes.filter(({ inArrears }) => inArrears).map(({ lab }) => lab);
  const voting = input.votes.filter(({ inArrears, vote }) => !inArrears && vote !== 'abstain');
  const yes = voting.filter(({ vote }) => vote === 'yes');
  const contributionsYes = contributionsOf(yes);
  const contributionsVoting = contributionsOf(voting);
  const reached = (part: Rational, whole: Rational) =>
    whole.n > 0n && compare(part, multiply(share, whole)) >= 0;
  const labs = reached(rational(BigInt(yes.length)), rational(BigInt(voting.length)));
  // Where nobody who votes contributes anything, there is no majority of contributions to ask for.
  const contributions = contributionsVoting.n === 0n ? labs : reached(contributionsYes, contributionsVoting);
  const quorate = voting.length >= (input.quorum ?? 0);
  const reason = !quorate
    ? 'no_quorum'
    : !labs
      ? 'labs_short'
      : !contributions
        ? 'contributions_short'
        : 'adopted';
  return {
    adopted: reason === 'adopted',
    reason,
    labsYes: yes.length,
    labsVoting: voting.length,
    contributionsYes: rationalText(contributionsYes),
    contributionsVoting: rationalText(contributionsVoting),
    barred,
  };
}

function contributionsOf(votes: readonly DoubleMajorityVote[]): Rational {
  return votes.reduce((sum, { contribution }) => add(sum, parseRational(contribution) ?? zero), zero);
}
