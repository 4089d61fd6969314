import { invariant } from '@beamtime/kernel';
import type { BallotBox } from './ballot-box.js';
import { gcd, type Rational, rational, toNumber } from './rational.js';

/** Relative spacing of doubles: one operation is off by at most half of it. */
export const EPSILON = 2 ** -52;

/** An exact price r = x / (denominator · slope), found for one project and one resource. */
export interface Rate {
  readonly x: bigint;
  readonly slope: number;
}

/** What has been bought so far, in order, and at which place each project was; −1 for what was not. */
export class Bought {
  readonly projects: number[] = [];
  readonly place: Int32Array;

  constructor(projectCount: number) {
    this.place = new Int32Array(projectCount).fill(-1);
  }

  add(project: number): void {
    this.place[project] = this.projects.length;
    this.projects.push(project);
  }
}

/**
 * What all voters have left of one budget during a run of Equal Shares.
 *
 * Exact, yet fast. A group that has paid every purchase it supports in full has b = E − Σ score·price, so sums of
 * budgets need only whole-number counts and as many big numbers as there are purchases. Doubles follow the budgets
 * with a proven bound on their error and serve to set projects aside; whatever they cannot separate is compared
 * exactly.
 */
export class Purse {
  /** Exact amounts are whole multiples of 1/denominator. */
  private denominator: bigint;
  private endowment: bigint;
  private readonly prices: bigint[] = [];
  /** Near the exact budgets, off by at most slack(). Exactly 0 for a group that has nothing left, and only for it. */
  readonly budget: Float64Array;
  /** Which supporters of the project last priced give all they have: 1, and 2 when that is exactly the price. */
  readonly exhausted: Uint8Array;
  readonly cost: Float64Array;
  /** The endowment and the whole budget, nearly. */
  readonly top: number;
  readonly total: number;
  /** Where the last look at a project in doubles put its price; a start for the next search, nothing more. */
  private readonly guess: Float64Array;
  private readonly counts: Float64Array;
  private dividedFor = -1;

  constructor(
    private readonly box: BallotBox,
    readonly resource: number,
    endowment: Rational,
    private readonly bought: Bought,
  ) {
    this.denominator = endowment.d;
    this.endowment = endowment.n;
    this.top = toNumber(endowment.n, endowment.d);
    this.total = toNumber(box.budget[resource] ?? 1n);
    this.budget = new Float64Array(box.groupCount).fill(this.top);
    this.exhausted = new Uint8Array(box.groupCount);
    this.cost = Float64Array.from(box.cost[resource] ?? [], (cost) => toNumber(cost));
    this.guess = new Float64Array(box.projectCount);
    this.counts = new Float64Array(box.projectCount);
  }

  /** How far a double may be from the budget it stands for: four roundings per purchase, and the first. */
  slack(): number {
    return 4 * EPSILON * this.top * (this.prices.length + 2);
  }

  /** How far the sum of what the supporters of a project have, or its cost, may be off in doubles. */
  errorOfSum(project: number): number {
    const { supportStart, supportWeight } = this.box;
    const entries = (supportStart[project + 1] as number) - (supportStart[project] as number);
    const budgets = (supportWeight[project] as number) * (this.slack() + 2 * EPSILON * this.top);
    return budgets + 4 * (entries + 4) * EPSILON * (this.cost[project] as number);
  }

  /**
   * A certified lower bound on the price of a project, Infinity when its supporters certainly cannot pay.
   *
   * However the supporters are divided into those who give all they have and those who pay r·score, the r at which
   * that covers the cost is not above the price, since each really gives the lesser of the two. So every step here
   * is a lower bound up to the rounding of the sum.
   */
  priceFloor(project: number): number {
    const { supportGroup, supportScore, groupWeight } = this.box;
    const start = this.box.supportStart[project] as number;
    const end = this.box.supportStart[project + 1] as number;
    const cost = this.cost[project] as number;
    const budget = this.budget;
    const error = this.errorOfSum(project);
    let price = Math.max(cost / (this.box.supportTotal[project] as number), this.guess[project] as number);
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
      this.guess[project] = price;
      if (slope === 0) return paid + 2 * error < cost ? Number.POSITIVE_INFINITY : price - error;
      const next = (cost - paid) / slope;
      if (!(next > price)) return next - error / slope;
      price = next;
    }
  }

  /**
   * The exact price, or undefined when the supporters cannot pay. Any way to divide them into those who give all
   * and those who pay in full gives a price that is not too high; dividing again by that price climbs to it.
   */
  exactRate(project: number): Rate | undefined {
    this.dividedFor = project;
    const cost = (this.box.cost[this.resource] as readonly bigint[])[project] as bigint;
    if (cost === 0n) return { x: 0n, slope: 1 };
    this.divideAt(project, this.guess[project] as number);
    for (;;) {
      const rate = this.rateOfDivision(project, cost);
      if (rate.slope === 0) {
        if (rate.x > 0n) return undefined;
        this.divideAt(project, 0);
      } else if (!this.divideBy(project, rate)) return rate;
    }
  }

  /** Marks as exhausted those who give all they have at the price of this project. */
  divide(project: number, rate: Rate): void {
    if (this.dividedFor !== project) this.divideBy(project, rate);
    this.dividedFor = project;
  }

  /** The price nearly: off by less than two parts in 2^52. */
  near(rate: Rate): number {
    return toNumber(rate.x, this.denominator * BigInt(rate.slope));
  }

  /** The price as a share of the whole budget, so that prices in different resources can be compared. */
  share(rate: Rate): Rational {
    const d = this.denominator * BigInt(rate.slope) * (this.box.budget[this.resource] as bigint);
    return { n: rate.x, d };
  }

  /** Takes the price of a project from its supporters. */
  charge(project: number, rate: Rate): void {
    if (rate.x > 0n) this.chargeSupporters(project, rate);
    const slope = BigInt(rate.slope);
    const common = gcd(rate.x, slope);
    const growth = slope / common;
    if (growth !== 1n) {
      this.denominator *= growth;
      this.endowment *= growth;
      for (let k = 0; k < this.prices.length; k++) this.prices[k] = (this.prices[k] as bigint) * growth;
    }
    this.prices.push(rate.x / common);
  }

  /** The exact price of each purchase so far. */
  exactPrices(): Rational[] {
    return this.prices.map((price) => rational(price, this.denominator));
  }

  private chargeSupporters(project: number, rate: Rate): void {
    invariant(rate.slope > 0, 'somebody pays the full price');
    const { supportStart, supportGroup, supportScore } = this.box;
    this.divide(project, rate);
    const price = this.near(rate);
    for (let k = supportStart[project] as number; k < (supportStart[project + 1] as number); k++) {
      const group = supportGroup[k] as number;
      const left = this.budget[group] as number;
      if (left === 0) continue;
      const rest = left - price * (supportScore[k] as number);
      // Something is left unless the exact comparison said otherwise, whatever the rounding did.
      this.budget[group] = this.exhausted[group] === 0 ? Math.max(rest, Number.MIN_VALUE) : 0;
    }
  }

  /** A first division by a price that is only near: any will do to climb from. */
  private divideAt(project: number, price: number): void {
    const { supportStart, supportGroup, supportScore } = this.box;
    for (let k = supportStart[project] as number; k < (supportStart[project + 1] as number); k++) {
      const group = supportGroup[k] as number;
      this.exhausted[group] = (this.budget[group] as number) < price * (supportScore[k] as number) ? 1 : 0;
    }
  }

  private rateOfDivision(project: number, cost: bigint): Rate {
    const { box, counts, exhausted } = this;
    const { place } = this.bought;
    for (const bought of this.bought.projects) counts[bought] = 0;
    let weightOut = 0;
    let slope = 0;
    const end = box.supportStart[project + 1] as number;
    for (let k = box.supportStart[project] as number; k < end; k++) {
      const group = box.supportGroup[k] as number;
      if (this.budget[group] === 0) continue;
      const weight = box.groupWeight[group] as number;
      if (exhausted[group] !== 1) {
        slope += weight * (box.supportScore[k] as number);
        continue;
      }
      weightOut += weight;
      const last = box.ballotStart[group + 1] as number;
      for (let e = box.ballotStart[group] as number; e < last; e++) {
        const other = box.ballotProject[e] as number;
        if ((place[other] as number) < 0) continue;
        counts[other] = (counts[other] as number) + weight * (box.ballotScore[e] as number);
      }
    }
    let paid = BigInt(weightOut) * this.endowment;
    for (const [k, bought] of this.bought.projects.entries()) {
      const count = counts[bought] as number;
      if (count !== 0) paid -= BigInt(count) * (this.prices[k] as bigint);
    }
    return { x: cost * this.denominator - paid, slope };
  }

  /** Marks who gives all at this price. True when that changes anything. */
  private divideBy(project: number, rate: Rate): boolean {
    const { box, exhausted } = this;
    const price = this.near(rate);
    const slack = this.slack() + 8 * EPSILON * this.top;
    let changed = false;
    const end = box.supportStart[project + 1] as number;
    for (let k = box.supportStart[project] as number; k < end; k++) {
      const group = box.supportGroup[k] as number;
      const left = this.budget[group] as number;
      if (left === 0) continue;
      const due = price * (box.supportScore[k] as number);
      const margin = left - due;
      let mark = margin > 0 ? 0 : 1;
      if (Math.abs(margin) <= slack + 8 * EPSILON * due) mark = this.compareExactly(group, k, rate);
      if ((mark === 1) !== (exhausted[group] === 1)) changed = true;
      exhausted[group] = mark;
    }
    return changed;
  }

  private compareExactly(group: number, entry: number, rate: Rate): number {
    const left = this.exactBudget(group) * BigInt(rate.slope);
    const due = rate.x * BigInt(this.box.supportScore[entry] as number);
    return left < due ? 1 : left === due ? 2 : 0;
  }

  private exactBudget(group: number): bigint {
    const { box } = this;
    let left = this.endowment;
    for (let e = box.ballotStart[group] as number; e < (box.ballotStart[group + 1] as number); e++) {
      const k = this.bought.place[box.ballotProject[e] as number] as number;
      if (k >= 0) left -= BigInt(box.ballotScore[e] as number) * (this.prices[k] as bigint);
    }
    return left;
  }
}
