import type { BallotBox } from './ballot-box.js';
import { settleTie, type Tie } from './break-tie.js';
import { Bought, EPSILON, Purse, type Rate } from './purse.js';
import { RaiseRange } from './raise-range.js';
import { compare, type Rational, toNumber, zero } from './rational.js';
import type { Utility } from './tally-input.js';

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
  /** With `range`: by how much the endowment could be larger with the same purchases for certain, else 0. */
  readonly raisable: number;
}

export interface ShareOptions {
  /** Stop as soon as more than this is spent. */
  readonly stopAbove?: readonly bigint[];
  /** Find out how far the endowment could be raised, as long as it is at least by this. One budget only. */
  readonly range?: number;
}

/** One pass of the Method of Equal Shares at a given endowment per unit of weight. */
export function shareOut(
  box: BallotBox,
  utility: Utility,
  endowment: readonly Rational[],
  options: ShareOptions = {},
): ShareOutcome {
  return new SharesRun(box, utility, endowment, options).run();
}

interface Contender {
  readonly project: number;
  readonly rates: readonly Rate[];
}

class SharesRun {
  private readonly bought: Bought;
  private readonly purses: readonly Purse[];
  private readonly range: RaiseRange | undefined;
  /** A certified lower bound on each project's price per utility; Infinity once it is out. */
  private readonly bound: Float64Array;
  private readonly freshAt: Int32Array;
  private readonly sizeInverse: Float64Array;
  private readonly ties: Tie[] = [];
  private readonly spent: bigint[];

  constructor(
    private readonly box: BallotBox,
    private readonly utility: Utility,
    private readonly endowments: readonly Rational[],
    private readonly options: ShareOptions,
  ) {
    this.bought = new Bought(box.projectCount);
    this.purses = endowments.map((endowment, resource) => new Purse(box, resource, endowment, this.bought));
    this.bound = new Float64Array(box.projectCount);
    this.freshAt = new Int32Array(box.projectCount).fill(-1);
    this.spent = endowments.map(() => 0n);
    this.sizeInverse = Float64Array.from(box.size, ({ n, d }) =>
      utility === 'cardinality' ? 1 : n === 0n ? 0 : toNumber(d, n),
    );
    for (let p = 0; p < box.projectCount; p++) this.bound[p] = this.firstBound(p);
    const [purse] = this.purses;
    this.range =
      options.range !== undefined && purse !== undefined && this.purses.length === 1
        ? new RaiseRange(box, purse, this.sizeInverse, options.range)
        : undefined;
  }

  run(): ShareOutcome {
    let complete = true;
    for (;;) {
      const contenders = this.contenders();
      const next = this.firstOf(contenders);
      if (next === undefined) break;
      this.range?.narrowFor(
        next.project,
        next.rates[0] as Rate,
        contenders.map(({ project }) => project),
      );
      this.buy(next);
      if (this.options.stopAbove?.some((limit, resource) => (this.spent[resource] as bigint) > limit)) {
        complete = false;
        break;
      }
    }
    const prices = this.purses.map((purse) => purse.exactPrices());
    return {
      endowment: this.endowments,
      purchases: this.bought.projects.map((project, k) => ({
        project,
        prices: prices.map((priceOf) => priceOf[k] ?? zero),
      })),
      ties: this.ties,
      spent: this.spent,
      complete,
      raisable: complete ? (this.range?.atEnd() ?? 0) : 0,
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

  /** The projects with the least price per utility that their supporters can still pay: more than one if tied. */
  private contenders(): Contender[] {
    const round = this.bought.projects.length;
    let best: { level: Rational; ceiling: number } | undefined;
    let contenders: Contender[] = [];
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
    return contenders;
  }

  private firstOf(contenders: readonly Contender[]): Contender | undefined {
    if (contenders.length < 2) return contenders[0];
    const tied = contenders.map(({ project }) => project);
    const tie = settleTie(this.box, tied, this.bought.projects.length + 1);
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
      const price = purse.priceFloor(project);
      if (price === Number.POSITIVE_INFINITY) return price;
      // As a share of its budget, so that prices in different resources can be compared.
      worst = Math.max(worst, price / purse.total);
    }
    return worst * (this.sizeInverse[project] as number) * (1 - 16 * EPSILON);
  }

  private exactRates(project: number): Rate[] | undefined {
    const rates: Rate[] = [];
    for (const purse of this.purses) {
      const rate = purse.exactRate(project);
      if (!rate) return undefined;
      rates.push(rate);
    }
    return rates;
  }

  /** Price per utility: the largest share of a budget that a unit of score pays, over the size of the project. */
  private exactLevel(project: number, rates: readonly Rate[]): Rational {
    let level = zero;
    for (const [resource, rate] of rates.entries()) {
      const share = (this.purses[resource] as Purse).share(rate);
      if (compare(share, level) > 0) level = share;
    }
    const size = this.box.size[project] as Rational;
    if (this.utility === 'cardinality' || size.n === 0n) return level;
    return { n: level.n * size.d, d: level.d * size.n };
  }

  private buy({ project, rates }: Contender): void {
    for (const [resource, rate] of rates.entries()) (this.purses[resource] as Purse).charge(project, rate);
    this.bought.add(project);
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
}
