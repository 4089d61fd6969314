/** What a tally is given. Amounts are texts (`12`, `0.5`, `7/3`) so that nothing is lost on the way through JSON. */
export interface TallyInput {
  readonly title?: string;
  /** What is shared out: one budget, or one for each kind of GPU. */
  readonly budgets: readonly TallyBudget[];
  readonly projects: readonly TallyProject[];
  /** Everyone who cast a ballot, each once; an empty ballot counts as a voter who supports nothing. */
  readonly voters: readonly TallyVoter[];
  readonly rule: TallyRule;
  /** The lot for ties is drawn from this; a round commits to its hash before voting closes. */
  readonly seed: string;
}

export interface TallyBudget {
  readonly resource: string;
  readonly amount: string;
}

export interface TallyProject {
  readonly id: string;
  readonly name: string;
  /** One cost for each budget, in the order of the budgets. */
  readonly costs: readonly string[];
  /** At most one project of each such group can win: the 70M or the 160M version of a suite. */
  readonly exclusiveGroup?: string;
}

export interface TallyVoter {
  readonly id: string;
  /** Share of the budget relative to others: a voter of weight k counts as k voters. 1 when absent. */
  readonly weight?: string;
  /** The projects supported, each once. */
  readonly ballot: readonly string[];
  /** Points for each of them, above zero; absent for approval ballots, where each is worth 1. */
  readonly scores?: readonly string[];
}

export type Utility = 'cost' | 'cardinality';
export type Completion = 'none' | 'add1' | 'add1u' | 'phragmen';

export interface EqualSharesRule extends Threshold {
  readonly name: 'equal-shares';
  readonly utility: Utility;
  readonly completion: Completion;
  /**
   * By how much Add1 raises the endowment of a unit of weight at a time, in the first budget; the other
   * budgets rise in proportion. 1 when absent, as cities do it.
   */
  readonly increment?: string;
}

export interface PhragmenRule extends Threshold {
  readonly name: 'phragmen';
  /** Whether a project that no longer fits is passed over; otherwise the count stops there. */
  readonly skip: boolean;
}

export interface GreedyRule extends Threshold {
  readonly name: 'greedy';
  /** `cost` takes projects in order of votes or points, as cities do; `cardinality` by votes per unit of cost. */
  readonly utility: Utility;
  /** Whether a project that no longer fits is passed over; otherwise the count stops there. */
  readonly skip: boolean;
}

/** Projects whose votes or points stay below this are out before the count, by any rule. */
interface Threshold {
  /** 0 when absent. */
  readonly threshold?: string;
}

export type TallyRule = EqualSharesRule | PhragmenRule | GreedyRule;
