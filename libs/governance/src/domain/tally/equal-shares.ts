import { type BallotBox, incrementOf } from './ballot-box.js';
import { add, multiply, type Rational, rational, subtract, toNumber } from './rational.js';
import { type ShareOptions, type ShareOutcome, shareOut } from './share-out.js';
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
  const shareAt = (raises: number, options?: ShareOptions) =>
    shareOut(box, rule.utility, endowmentAfter(box, rule, raises), options);
  const first = shareAt(0);
  if (rule.completion !== 'add1' && rule.completion !== 'add1u') return { shares: first, raises: 0 };
  const lookout = new Lookout(stepOf(box, rule));
  let known = { raises: 0, shares: first };
  // The last number of raises with an affordable outcome: that of `known`, or one with the same purchases.
  let affordable = 0;
  for (;;) {
    if (nobodyLeft(box, known.shares)) return known;
    const raised = shareAt(affordable + 1, { stopAbove: box.budget, ...lookout.options() });
    if (!raised.complete) {
      const last = known.raises === affordable ? known.shares : shareAt(affordable);
      return { shares: last, raises: affordable, overrun: raised };
    }
    known = { raises: affordable + 1, shares: raised };
    affordable = known.raises + lookout.raisesWithSamePurchases(raised);
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

/** How much a raise adds to the endowment of a unit of weight in the first budget, in scaled money. */
function stepOf(box: BallotBox, rule: EqualSharesRule): number {
  const [before] = endowmentAfter(box, rule, 0);
  const [after] = endowmentAfter(box, rule, 1);
  if (!before || !after) return 0;
  const { n, d } = subtract(after, before);
  return toNumber(n, d);
}

/** Raises counted one by one before looking ahead is worth its price: most elections end sooner. */
const PATIENCE_RAISES = 24;
/** Raises that a look ahead must save on average for the next to follow at once. */
const WORTH_RAISES = 2;
const PAUSE_LIMIT = 64;
/** Enough for any look ahead; and the sum stays a safe whole number. */
const AHEAD_LIMIT_RAISES = 2 ** 40;

/**
 * Decides when to ask how far the endowments can be raised without changing the purchases. It costs about as much as
 * a count; where voters are many, every raise changes something and nothing is gained.
 */
class Lookout {
  private wait = PATIENCE_RAISES;
  private pause = 1;

  constructor(private readonly step: number) {}

  options(): ShareOptions {
    this.wait--;
    return this.wait < 0 ? { range: this.step } : {};
  }

  raisesWithSamePurchases({ raisable }: ShareOutcome): number {
    if (this.wait >= 0) return 0;
    // A little less than the quotient in doubles, so that rounding cannot add a raise.
    const ahead = Math.min(
      AHEAD_LIMIT_RAISES,
      Math.max(0, Math.floor((raisable / this.step) * (1 - 2 ** -40))),
    );
    this.pause = ahead >= WORTH_RAISES ? 1 : Math.min(PAUSE_LIMIT, 2 * this.pause);
    this.wait = this.pause - 1;
    return ahead;
  }
}
