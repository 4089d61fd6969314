import { type BallotBox, incrementOf } from './ballot-box.js';
import { add, multiply, type Rational, rational } from './rational.js';
import { type ShareOutcome, shareOut } from './share-out.js';
import type { EqualSharesRule } from './tally-input.js';

export interface EqualSharesOutcome {
  /** The outcome that stands. */
  readonly shares: ShareOutcome;
  /** How many times the endowments were raised for it. */
  readonly raises: number;
  /** The first outcome that would have cost too much, one raise later; absent when there is none. */
  readonly overrun?: ShareOutcome;
}

/**
 * The Method of Equal Shares, with the endowments raised step by step when the rule says so.
 *
 * Add1 goes on as long as the outcome is affordable, also past outcomes that already leave no room for any project:
 * with an early stop there, one real election comes out differently from what its city decided.
 */
export function equalShares(box: BallotBox, rule: EqualSharesRule): EqualSharesOutcome {
  let raises = 0;
  let shares = shareOut(box, rule.utility, endowmentAfter(box, rule, raises));
  if (rule.completion !== 'add1' && rule.completion !== 'add1u') return { shares, raises };
  for (;;) {
    if (nobodyLeft(box, shares)) return { shares, raises };
    const raised = shareOut(box, rule.utility, endowmentAfter(box, rule, raises + 1), box.budget);
    if (!raised.complete) return { shares, raises, overrun: raised };
    shares = raised;
    raises++;
  }
}

/** What a unit of weight has after so many raises, per resource, in scaled money. */
export function endowmentAfter(box: BallotBox, rule: EqualSharesRule, raises: number): Rational[] {
  const increment = incrementOf(rule);
  const firstBudget = box.budget[0] ?? 1n;
  const firstScale = box.moneyScale[0] ?? 1n;
  return box.budget.map((budget) => {
    const share = rational(budget, BigInt(box.totalWeight));
    const proportion = rational(budget * firstScale, firstBudget);
    const raise = multiply(multiply(increment, proportion), rational(BigInt(raises), box.weightScale));
    return add(share, raise);
  });
}

/** Whether every project with enough support is bought or excluded, so that more money changes nothing. */
function nobodyLeft(box: BallotBox, outcome: ShareOutcome): boolean {
  const bought = new Set(outcome.purchases.map(({ project }) => project));
  const variants = new Set<number>();
  for (const project of bought) variants.add(box.exclusive[project] as number);
  variants.delete(-1);
  for (let p = 0; p < box.projectCount; p++) {
    if (bought.has(p) || variants.has(box.exclusive[p] as number)) continue;
    if (box.eligible[p] === 1) return false;
  }
  return true;
}
