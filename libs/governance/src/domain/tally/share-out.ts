import { invariant } from '@beamtime/kernel';
import type { BallotBox } from './ballot-box.js';
import { settleTie, type Tie } from './break-tie.js';
import { compare, gcd, type Rational, rational, toNumber, zero } from './rational.js';
import type { Utility } from './tally-input.js';

/** Relative spacing of doubles: one operation is off by at most half of it. */
const EPSILON = 2 ** -52;

/** One project bought: what a unit of weight paid for a unit of score, at most, in each resource. */
export interface Purchase {
  readonly project: number;
  readonly prices: readonly Rational[];
}

export interface ShareOutcome {
  /** What each unit of weight was given, per resource. */
  readonly endowment: readonly Rational[];
  readonly purchases: readonly Purchase[];
  readonly ties: readonly Tie[];
  readonly spent: readonly bigint[];
  /** False when the run was cut short because it had already spent more than the limit. */
  readonly complete: boolean;
}

/** An exact price r = x / (denominator · slope), found for one project and one resource. */
interface Rate {
  readonly x: bigint;
  readonly slope: number;
}

/**
 * One pass of the Method of Equal Shares at a given endowment per unit of weight.
 *
 * Exact, yet fast. A group that has paid every purchase it supports in full has b = E − Σ score·price, so sums of
 * budgets need only whole-number counts and as many big numbers as there are purchases. Doubles follow the budgets
 * with a proven bound on their error and serve to set aside the projects that cannot be next; whatever they
 * cannot separate is compared exactly.
 */
export function shareOut(
  box: BallotBox,
  utility: Utility,
  endowment: readonly Rational[],
  stopAbove?: readonly bigint[],
): ShareOutcome {
  return new SharesRun(box, utility, endowment, stopAbove).run();
}

/** The state of one resource during a run. */
class Purse {
  /** Exact amounts are whole multiples of 1/denominator. */
  denominator: bigint;
  endowment: bigint;
  readonly price: bigint[] = [];
  /** Near the exact budgets, off by at most slack(). Exactly 0 for a group that has nothing left. */
  readonly budget: Float64Array;
  readonly top: number;
  readonly total: number;
  readonly cost: Float64Array;
  /** Where the last look at a project in doubles put its price; a start for the exact search, nothing more. */
  readonly guess: Float64Array;

  constructor(
    box: BallotBox,
    readonly resource: number,
    endowment: Rational,
  ) {
    this.denominator = endowment.d;
    this.endowment = endowment.n;
    this.top = toNumber(endowment.n, endowment.d);
    this.budget = new Float64Array(box.groupCount).fill(this.top);
    this.total = toNumber(box.budget[resource] ?? 1n);
    this.cost = Float64Array.from(box.cost[resource] ?? [], (cost) => toNumber(cost));
    this.guess = new Float64Array(box.projectCount);
  }

  /** How far a double may be from the budget it stands for: four roundings per purchase, and the first. */
  slack(): number {
    return 4 * EPSILON * this.top * (this.price.length + 2);
  }
}

class SharesRun {
  private readonly purses: Purse[];
  private readonly boughtAs: Int32Array;
  /** A certified lower bound on each project's price per utility; Infinity once it is out. */
  private readonly bound: Float64Array;
  private readonly freshAt: Int32Array;
  private readonly sizeInverse: Float64Array;
  private readonly counts: Float64Array;
  /** Which supporters of the project at hand pay all they have: 1 when they do, 2 when that is exactly the price. */
  private readonly exhausted: Uint8Array;
  private readonly purchases: number[] = [];
  private readonly ties: Tie[] = [];
  private readonly spent: bigint[];

  constructor(
    private readonly box: BallotBox,
    private readonly utility: Utility,
    private readonly endowments: readonly Rational[],
    private readonly stopAbove: readonly bigint[] | undefined,
  ) {
    this.purses = endowments.map((endowment, resource) => new Purse(box, resource, endowment));
    this.boughtAs = new Int32Array(box.projectCount).fill(-1);
    this.bound = new Float64Array(box.projectCount);
    this.freshAt = new Int32Array(box.projectCount).fill(-1);
    this.counts = new Float64Array(box.projectCount);
    this.exhausted = new Uint8Array(box.groupCount);
    this.spent = endowments.map(() => 0n);
    this.sizeInverse = Float64Array.from(box.size, ({ n, d }) =>
      utility === 'cardinality' ? 1 : n === 0n ? 0 : toNumber(d, n),
    );
    for (let p = 0; p < box.projectCount; p++) this.bound[p] = this.firstBound(p);
  }

  run(): ShareOutcome {
    let complete = true;
    for (;;) {
      const next = this.nextPurchase();
      if (next === undefined) break;
      this.buy(next.project, next.rates);
      if (this.stopAbove?.some((limit, resource) => (this.spent[resource] as bigint) > limit)) {
        complete = false;
        break;
      }
    }
    return {
      endowment: this.endowments,
      purchases: this.purchases.map((project, k) => ({
        project,
        prices: this.purses.map((purse) => rational(purse.price[k] ?? 0n, purse.denominator)),
      })),
      ties: this.ties,
      spent: this.spent,
      complete,
    };
  }

  /** The price per utility if every supporter could pay it in full: nothing can be cheaper. */
  private firstBound(project: number): number {
    const total = this.box.supportTotal[project] as number;
    if (this.box.eligible[project] === 0) return Number.POSITIVE_INFINITY;
    let worst = 0;
    for (const purse of this.purses) {
      worst = Math.max(worst, (purse.cost[project] as number) / total / purse.total);
    }
    return worst * (this.sizeInverse[project] as number) * (1 - 16 * EPSILON);
  }

  /** The project with the least price per utility that its supporters can still pay. */
  private nextPurchase(): { project: number; rates: Rate[] } | undefined {
    const round = this.purchases.length;
    let best: { level: Rational; ceiling: number } | undefined;
    let contenders: { project: number; rates: Rate[] }[] = [];
    const settled: { project: number; floor: number }[] = [];
    for (;;) {
      const project = this.lowestBound();
      const lowest = project < 0 ? Number.POSITIVE_INFINITY : (this.bound[project] as number);
      if (lowest === Number.POSITIVE_INFINITY || (best && lowest > best.ceiling)) break;
      if (this.freshAt[project] !== round) {
        this.freshAt[project] = round;
        this.bound[project] = this.lowerBound(project);
        continue;
      }
      this.bound[project] = Number.POSITIVE_INFINITY;
      const rates = this.exactRates(project);
      if (!rates) continue;
      const level = this.exactLevel(project, rates);
      const near = toNumber(level.n, level.d);
      settled.push({ project, floor: near * (1 - 4 * EPSILON) });
      const order = best ? compare(level, best.level) : -1;
      if (order < 0) {
        best = { level, ceiling: near * (1 + 4 * EPSILON) };
        contenders = [];
      }
      if (order <= 0) contenders.push({ project, rates });
    }
    for (const { project, floor } of settled) this.bound[project] = floor;
    return this.firstOf(contenders);
  }

  private firstOf(
    contenders: readonly { project: number; rates: Rate[] }[],
  ): { project: number; rates: Rate[] } | undefined {
    if (contenders.length < 2) return contenders[0];
    const tied = contenders.map(({ project }) => project);
    const tie = settleTie(this.box, tied, this.purchases.length + 1);
    this.ties.push(tie);
    return contenders.find(({ project }) => project === tie.chosen);
  }

  private lowestBound(): number {
    let lowest = -1;
    let value = Number.POSITIVE_INFINITY;
    for (let p = 0; p < this.bound.length; p++) {
      const bound = this.bound[p] as number;
      if (bound < value) {
        value = bound;
        lowest = p;
      }
    }
    return lowest;
  }

  private lowerBound(project: number): number {
    let worst = 0;
    for (const purse of this.purses) {
      if (purse.cost[project] === 0) continue;
      const price = this.priceFloor(project, purse);
      if (price === Number.POSITIVE_INFINITY) return price;
      // As a share of its budget, so that prices in different resources can be compared.
      worst = Math.max(worst, price / purse.total);
    }
    return worst * (this.sizeInverse[project] as number) * (1 - 16 * EPSILON);
  }

  /**
   * A certified lower bound on the price in one resource, Infinity when its supporters certainly cannot pay.
   *
   * However the supporters are divided into those who give all they have and those who pay r·score, the r at which
   * that covers the cost is not above the price, since each really gives the lesser of the two. So every step here
   * is a lower bound up to the rounding of the sum, which `error` bounds.
   */
  private priceFloor(project: number, purse: Purse): number {
    const { supportGroup, supportScore, groupWeight } = this.box;
    const start = this.box.supportStart[project] as number;
    const end = this.box.supportStart[project + 1] as number;
    const cost = purse.cost[project] as number;
    const budget = purse.budget;
    const slack = purse.slack();
    const error =
      (this.box.supportWeight[project] as number) * (slack + 2 * EPSILON * purse.top) +
      4 * (end - start + 4) * EPSILON * cost;
    let price = cost / (this.box.supportTotal[project] as number);
    for (;;) {
      let paid = 0;
      let slope = 0;
      for (let k = start; k < end; k++) {
        const group = supportGroup[k] as number;
        const left = budget[group] as number;
        const score = supportScore[k] as number;
        const weight = groupWeight[group] as number;
        if (left < price * score) paid += weight * left;
        else slope += weight * score;
      }
      purse.guess[project] = price;
      if (slope === 0) return paid + 2 * error < cost ? Number.POSITIVE_INFINITY : price - error;
      const next = (cost - paid) / slope;
      if (!(next > price)) return next - error / slope;
      price = next;
    }
  }

  private exactRates(project: number): Rate[] | undefined {
    const rates: Rate[] = [];
    for (const purse of this.purses) {
      const rate = this.exactRate(project, purse);
      if (!rate) return undefined;
      rates.push(rate);
    }
    return rates;
  }

  /**
   * The exact price, or undefined when the supporters cannot pay. Any way to divide them into those who give all
   * and those who pay in full gives a price that is not too high; dividing again by that price climbs to it.
   */
  private exactRate(project: number, purse: Purse): Rate | undefined {
    const cost = (this.box.cost[purse.resource] as readonly bigint[])[project] as bigint;
    if (cost === 0n) return { x: 0n, slope: 1 };
    this.divideAt(project, purse, purse.guess[project] as number);
    for (;;) {
      const rate = this.rateOfDivision(project, purse, cost);
      if (rate.slope === 0) {
        if (rate.x > 0n) return undefined;
        this.divideAt(project, purse, 0);
      } else if (!this.divideBy(project, purse, rate)) return rate;
    }
  }

  /** A first division by a price that is only near: any will do to climb from. */
  private divideAt(project: number, purse: Purse, price: number): void {
    const { supportStart, supportGroup, supportScore } = this.box;
    for (let k = supportStart[project] as number; k < (supportStart[project + 1] as number); k++) {
      const group = supportGroup[k] as number;
      this.exhausted[group] = (purse.budget[group] as number) < price * (supportScore[k] as number) ? 1 : 0;
    }
  }

  private rateOfDivision(project: number, purse: Purse, cost: bigint): Rate {
    const { box, counts, boughtAs, exhausted } = this;
    for (const bought of this.purchases) counts[bought] = 0;
    let weightOut = 0;
    let slope = 0;
    const end = box.supportStart[project + 1] as number;
    for (let k = box.supportStart[project] as number; k < end; k++) {
      const group = box.supportGroup[k] as number;
      if (purse.budget[group] === 0) continue;
      const weight = box.groupWeight[group] as number;
      if (exhausted[group] !== 1) {
        slope += weight * (box.supportScore[k] as number);
        continue;
      }
      weightOut += weight;
      const last = box.ballotStart[group + 1] as number;
      for (let e = box.ballotStart[group] as number; e < last; e++) {
        const other = box.ballotProject[e] as number;
        if ((boughtAs[other] as number) >= 0) {
          counts[other] = (counts[other] as number) + weight * (box.ballotScore[e] as number);
        }
      }
    }
    let paid = BigInt(weightOut) * purse.endowment;
    for (const [k, bought] of this.purchases.entries()) {
      const count = counts[bought] as number;
      if (count !== 0) paid -= BigInt(count) * (purse.price[k] as bigint);
    }
    return { x: cost * purse.denominator - paid, slope };
  }

  /** Marks who gives all at this price. True when that changes anything. */
  private divideBy(project: number, purse: Purse, rate: Rate): boolean {
    const { box, exhausted } = this;
    const price = toNumber(rate.x, purse.denominator * BigInt(rate.slope));
    const slack = purse.slack() + 8 * EPSILON * purse.top;
    let changed = false;
    const end = box.supportStart[project + 1] as number;
    for (let k = box.supportStart[project] as number; k < end; k++) {
      const group = box.supportGroup[k] as number;
      const left = purse.budget[group] as number;
      if (left === 0) continue;
      const due = price * (box.supportScore[k] as number);
      const margin = left - due;
      let mark = margin > 0 ? 0 : 1;
      if (Math.abs(margin) <= slack + 8 * EPSILON * due) mark = this.compareExactly(group, k, purse, rate);
      if ((mark === 1) !== (exhausted[group] === 1)) changed = true;
      exhausted[group] = mark;
    }
    return changed;
  }

  private compareExactly(group: number, entry: number, purse: Purse, rate: Rate): number {
    const left = this.exactBudget(group, purse) * BigInt(rate.slope);
    const due = rate.x * BigInt(this.box.supportScore[entry] as number);
    return left < due ? 1 : left === due ? 2 : 0;
  }

  private exactBudget(group: number, purse: Purse): bigint {
    const { box } = this;
    let left = purse.endowment;
    const last = box.ballotStart[group + 1] as number;
    for (let e = box.ballotStart[group] as number; e < last; e++) {
      const k = this.boughtAs[box.ballotProject[e] as number] as number;
      if (k >= 0) left -= BigInt(box.ballotScore[e] as number) * (purse.price[k] as bigint);
    }
    return left;
  }

  /** Price per utility: the largest share of a budget that a unit of score pays, over the size of the project. */
  private exactLevel(project: number, rates: readonly Rate[]): Rational {
    let level = zero;
    for (const [resource, rate] of rates.entries()) {
      const purse = this.purses[resource] as Purse;
      const d = purse.denominator * BigInt(rate.slope) * (this.box.budget[resource] as bigint);
      const share = { n: rate.x, d };
      if (compare(share, level) > 0) level = share;
    }
    const size = this.box.size[project] as Rational;
    if (this.utility === 'cardinality' || size.n === 0n) return level;
    return { n: level.n * size.d, d: level.d * size.n };
  }

  private buy(project: number, rates: readonly Rate[]): void {
    for (const [resource, rate] of rates.entries())
      this.charge(project, this.purses[resource] as Purse, rate);
    this.boughtAs[project] = this.purchases.length;
    this.purchases.push(project);
    this.bound[project] = Number.POSITIVE_INFINITY;
    const variants = this.box.exclusive[project] as number;
    if (variants >= 0) {
      for (let p = 0; p < this.box.projectCount; p++) {
        if (this.box.exclusive[p] === variants) this.bound[p] = Number.POSITIVE_INFINITY;
      }
    }
    for (const [resource, cost] of this.box.cost.entries()) {
      this.spent[resource] = (this.spent[resource] as bigint) + (cost[project] as bigint);
    }
  }

  private charge(project: number, purse: Purse, rate: Rate): void {
    const { box } = this;
    if (rate.x > 0n) {
      invariant(rate.slope > 0, 'somebody pays the full price');
      this.divideBy(project, purse, rate);
      const price = toNumber(rate.x, purse.denominator * BigInt(rate.slope));
      const end = box.supportStart[project + 1] as number;
      for (let k = box.supportStart[project] as number; k < end; k++) {
        const group = box.supportGroup[k] as number;
        const left = purse.budget[group] as number;
        if (left === 0) continue;
        const rest = left - price * (box.supportScore[k] as number);
        // Something is left unless the exact comparison said otherwise, whatever the rounding did.
        purse.budget[group] = this.exhausted[group] === 0 ? Math.max(rest, Number.MIN_VALUE) : 0;
      }
    }
    const slope = BigInt(rate.slope);
    const common = gcd(rate.x, slope);
    const growth = slope / common;
    if (growth !== 1n) {
      purse.denominator *= growth;
      purse.endowment *= growth;
      for (let k = 0; k < purse.price.length; k++) purse.price[k] = (purse.price[k] as bigint) * growth;
    }
    purse.price.push(rate.x / common);
  }
}
