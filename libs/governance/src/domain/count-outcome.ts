import type { BallotContent } from './check-ballot.js';
import type { FrozenBudget, FrozenProposal, FrozenRound, RollEntry } from './frozen-round.js';
import type { Counterfactual } from './tally/counterfactuals.js';
import type { TallyResult } from './tally/tally.js';

/** A ballot as the count sees it. */
export interface CountedBallot {
  readonly voterId: string;
  readonly content: BallotContent;
}

export interface Winner {
  readonly proposalId: string;
  readonly how: 'flagship' | 'rule';
  readonly reason: string;
}

export interface Loser {
  readonly proposalId: string;
  readonly reason: string;
}

export interface CountTie {
  readonly tied: readonly string[];
  readonly chosen: string;
  readonly by: string;
}

/** What one rule made of the ballots. */
export interface PartialCount {
  /** In order of purchase. */
  readonly winners: readonly Winner[];
  readonly losers: readonly Loser[];
  readonly ties: readonly CountTie[];
  readonly alternatives: readonly { readonly rule: string; readonly winners: readonly string[] }[];
  /** The engine's receipt; null where nothing could be counted. */
  readonly certificate: object | null;
  /** Of a budget that was shared out: what the page about it shows. */
  readonly shared?: SharedBudget | undefined;
}

/** A count by the engine, and what the same ballots come to under other rules. */
export interface SharedBudget {
  readonly result: TallyResult;
  readonly others: readonly Counterfactual[];
}

/** What a rule is given: the part of the frozen round that is still to be decided, and the ballots. */
export interface Contest {
  readonly frozen: FrozenRound;
  readonly budgets: readonly FrozenBudget[];
  readonly proposals: readonly FrozenProposal[];
  readonly roll: ReadonlyMap<string, RollEntry>;
  readonly ballots: readonly CountedBallot[];
  readonly seed: string;
}

/** GPU time as people say it. */
export function hoursText(gpuSeconds: number): string {
  const hours = gpuSeconds / 3_600;
  const rounded = hours >= 100 ? hours.toFixed(0) : hours.toPrecision(3);
  return `${Number(rounded)} GPU-hours`;
}

/** Whether a proposal's cost is still there; what costs nothing always fits. */
export function fitsBudget(budgets: readonly FrozenBudget[], proposal: FrozenProposal): boolean {
  if (proposal.gpuType === null || proposal.gpuSeconds === null) return true;
  const budget = budgets.find(({ gpuType }) => gpuType === proposal.gpuType);
  return budget !== undefined && proposal.gpuSeconds <= budget.gpuSeconds;
}
