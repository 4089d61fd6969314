import type { BallotBox } from './ballot-box.js';
import { settleTie, type Tie } from './break-tie.js';
import { fits } from './greedy.js';
import { compare, gcd, type Rational, rational, zero } from './rational.js';

export interface PhragmenPurchase {
  readonly project: number;
  /** When its supporters had saved enough, each unit of weight earning one (scaled) unit of money per time. */
  readonly time: Rational;
}

export interface PhragmenOutcome {
  readonly purchases: readonly PhragmenPurchase[];
  readonly ties: readonly Tie[];
  /** The project at which the count stopped because it did not fit, where the rule does not skip. */
  readonly stop?: PhragmenPurchase;
}

export interface PhragmenStart {
  readonly skip: boolean;
  /** Winners chosen before by Equal Shares, and what each group still has per unit of weight. */
  readonly after?: { readonly chosen: readonly number[]; readonly balances: readonly Rational[] };
}

/**
 * Sequential Phragmén: everyone earns at the same speed per unit of weight; as soon as the supporters of a project
 * own its cost together, they pay with all they have. Points are not read: who gives a project any supports it.
 */
export function phragmen(box: BallotBox, start: PhragmenStart): PhragmenOutcome {
  return new PhragmenRun(box, start).run();
}

class PhragmenRun {
  /** All times and sums are whole multiples of 1/denominator. */
  private denominator = 1n;
  private readonly times: bigint[] = [];
  /** When each group last had nothing: its last purchase, −1 for the start. */
  private readonly lastPaid: Int32Array;
  /** How long before the start a group must have begun to save for what it has at the start, negated. */
  private readonly origin: bigint[] = [];
  /** Per project Σ weight × time at which the supporter last had nothing. */
  private readonly zeroed: bigint[];
  private readonly moved: Float64Array;
  private readonly out: Uint8Array;
  private readonly left: bigint[];
  private readonly purchases: PhragmenPurchase[] = [];
  private readonly ties: Tie[] = [];
  private readonly before: number;

  constructor(
    private readonly box: BallotBox,
    private readonly start: PhragmenStart,
  ) {
    this.lastPaid = new Int32Array(box.groupCount).fill(-1);
    this.zeroed = new Array<bigint>(box.projectCount).fill(0n);
    this.moved = new Float64Array(box.projectCount);
    this.out = Uint8Array.from(box.eligible, (eligible) => 1 - eligible);
    this.left = [...box.budget];
    this.before = start.after?.chosen.length ?? 0;
    if (start.after) this.startFrom(start.after.chosen, start.after.balances);
  }

  run(): PhragmenOutcome {
    for (;;) {
      if (this.start.skip) this.dropWhatDoesNotFit();
      const next = this.earliest();
      if (next === undefined) return { purchases: this.purchases, ties: this.ties };
      const purchase = { project: next, time: this.timeOf(next) };
      if (!fits(this.box, next, this.left)) {
        return { purchases: this.purchases, ties: this.ties, stop: purchase };
      }
      this.buy(purchase);
    }
  }

  private startFrom(chosen: readonly number[], balances: readonly Rational[]): void {
    const { box } = this;
    for (const project of chosen) this.settle(project);
    for (const { d } of balances) this.denominator = (this.denominator / gcd(this.denominator, d)) * d;
    for (const [group, { n, d }] of balances.entries()) {
      const since = -n * (this.denominator / d);
      this.origin[group] = since;
      const weight = BigInt(box.groupWeight[group] as number);
      for (let e = box.ballotStart[group] as number; e < (box.ballotStart[group + 1] as number); e++) {
        const project = box.ballotProject[e] as number;
        this.zeroed[project] = (this.zeroed[project] as bigint) + weight * since;
      }
    }
  }

  /** Takes the project's cost from the pot, and its variants out of the count. */
  private settle(project: number): void {
    const { box } = this;
    this.out[project] = 1;
    const variants = box.exclusive[project] as number;
    if (variants >= 0) {
      for (let p = 0; p < box.projectCount; p++) if (box.exclusive[p] === variants) this.out[p] = 1;
    }
    for (let r = 0; r < this.left.length; r++) {
      this.left[r] = (this.left[r] as bigint) - (box.cost[r]?.[project] ?? 0n);
    }
  }

  private dropWhatDoesNotFit(): void {
    for (let p = 0; p < this.box.projectCount; p++) {
      if (this.out[p] === 0 && !fits(this.box, p, this.left)) this.out[p] = 1;
    }
  }

  private timeOf(project: number): Rational {
    const owed = (this.box.cost[0]?.[project] ?? 0n) * this.denominator + (this.zeroed[project] as bigint);
    return rational(owed, this.denominator * BigInt(this.box.supportWeight[project] as number));
  }

  private earliest(): number | undefined {
    let best: Rational = zero;
    let tied: number[] = [];
    for (let p = 0; p < this.box.projectCount; p++) {
      if (this.out[p] === 1) continue;
      // All times share the denominator, so it is left out of the comparison.
      const time = {
        n: (this.box.cost[0]?.[p] ?? 0n) * this.denominator + (this.zeroed[p] as bigint),
        d: BigInt(this.box.supportWeight[p] as number),
      };
      const order = tied.length === 0 ? -1 : compare(time, best);
      if (order < 0) tied = [];
      if (order <= 0) {
        best = time;
        tied.push(p);
      }
    }
    if (tied.length < 2) return tied[0];
    const tie = settleTie(this.box, tied, this.before + this.purchases.length + 1);
    this.ties.push(tie);
    return tie.chosen;
  }

  private buy(purchase: PhragmenPurchase): void {
    const { box } = this;
    const growth = purchase.time.d / gcd(purchase.time.d, this.denominator);
    if (growth !== 1n) this.refine(growth);
    const time = purchase.time.n * (this.denominator / purchase.time.d);
    const payers = new Map<number, number[]>();
    for (
      let k = box.supportStart[purchase.project] as number;
      k < (box.supportStart[purchase.project + 1] as number);
      k++
    ) {
      const group = box.supportGroup[k] as number;
      const last = this.lastPaid[group] as number;
      // Groups that start with balances of their own differ one by one; all others by their last purchase only.
      const key =
        last < 0 && this.origin.length > 0 ? -1 - group : last < 0 ? Number.NEGATIVE_INFINITY : last;
      const sameSince = payers.get(key);
      if (sameSince) sameSince.push(group);
      else payers.set(key, [group]);
    }
    for (const [key, groups] of payers) {
      const since = key === Number.NEGATIVE_INFINITY ? 0n : key < 0 ? this.origin[-1 - key] : this.times[key];
      this.advance(groups, time - (since as bigint));
    }
    for (const groups of payers.values())
      for (const group of groups) this.lastPaid[group] = this.times.length;
    this.times.push(time);
    this.purchases.push(purchase);
    this.settle(purchase.project);
  }

  private refine(growth: bigint): void {
    this.denominator *= growth;
    for (let k = 0; k < this.times.length; k++) this.times[k] = (this.times[k] as bigint) * growth;
    for (let g = 0; g < this.origin.length; g++) this.origin[g] = (this.origin[g] as bigint) * growth;
    for (let p = 0; p < this.zeroed.length; p++) this.zeroed[p] = (this.zeroed[p] as bigint) * growth;
  }

  /** Moves the moment at which these groups last had nothing forward, in the sums of all they support. */
  private advance(groups: readonly number[], by: bigint): void {
    const { box, moved } = this;
    const touched: number[] = [];
    for (const group of groups) {
      const weight = box.groupWeight[group] as number;
      for (let e = box.ballotStart[group] as number; e < (box.ballotStart[group + 1] as number); e++) {
        const project = box.ballotProject[e] as number;
        if (moved[project] === 0) touched.push(project);
        moved[project] = (moved[project] as number) + weight;
      }
    }
    for (const project of touched) {
      this.zeroed[project] = (this.zeroed[project] as bigint) + BigInt(moved[project] as number) * by;
      moved[project] = 0;
    }
  }
}
