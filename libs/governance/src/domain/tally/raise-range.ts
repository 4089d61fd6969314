import type { BallotBox } from './ballot-box.js';
import { EPSILON, type Purse, type Rate } from './purse.js';

/**
 * How far the endowment could be raised with the very same purchases.
 *
 * As long as the same projects are bought in the same order and the same supporters give all they have, every budget
 * and every price is a straight line over the raise. So each decision of a run holds up to where two lines cross;
 * the first crossing bounds them all. Lines are kept in doubles, and every bound on a rounding error is taken from
 * the side that makes the range shorter: a range too short costs time, one too long cannot come about.
 */
export class RaiseRange {
  private limit = Number.POSITIVE_INFINITY;
  /** By how much each budget grows per unit of raise, off by at most slopeError. */
  private readonly slope: Float64Array;
  private slopeError = 0;
  private steepest = 1;
  private round = 0;
  private readonly out: Uint8Array;
  private readonly lines: (RivalLine | undefined)[];

  constructor(
    private readonly box: BallotBox,
    private readonly purse: Purse,
    private readonly sizeInverse: Float64Array,
    /** A range below this is of no use, and is not followed further. */
    private readonly useful: number,
  ) {
    this.slope = new Float64Array(box.groupCount).fill(1);
    this.out = Uint8Array.from(box.eligible, (eligible) => 1 - eligible);
    this.lines = new Array<RivalLine | undefined>(box.projectCount).fill(undefined);
  }

  /** Takes account of a purchase that is about to be charged, and of all that were not chosen. */
  narrowFor(project: number, rate: Rate, tied: readonly number[]): void {
    if (this.limit < this.useful) return;
    const free = this.purse.cost[project] === 0;
    if (!free) this.purse.divide(project, rate);
    const price = free ? { price: 0, slope: 0, error: 0, topScore: 0 } : this.priceLine(project, rate);
    if (!free) this.narrowByDivision(project, price);
    this.out[project] = 1;
    const variants = this.box.exclusive[project] as number;
    for (let p = 0; p < this.out.length && this.limit >= this.useful; p++) {
      if (this.out[p] === 1) continue;
      this.narrowByRival(p, project, price, tied.includes(p));
    }
    for (let p = 0; p < this.out.length; p++) {
      if (variants >= 0 && this.box.exclusive[p] === variants) this.out[p] = 1;
    }
    if (!free) this.bend(project, price);
    this.round++;
  }

  /** The range, once nothing more can be bought: also what is out of reach must stay so. */
  atEnd(): number {
    for (let p = 0; p < this.out.length && this.limit >= this.useful; p++) {
      if (this.out[p] === 1) continue;
      const line = this.lineOf(p, true);
      // Something affordable at the end would have been bought; only rounding can hide that.
      this.cut(line.short === undefined ? 0 : crossing(line.short, line.shortSlope));
    }
    return this.limit >= this.useful ? this.limit : 0;
  }

  private cut(at: number): void {
    if (at < this.limit) this.limit = at;
  }

  private priceLine(project: number, rate: Rate): PriceLine {
    const { supportStart, supportGroup, supportScore, groupWeight } = this.box;
    let sum = 0;
    let size = 0;
    let weightOut = 0;
    let topScore = 0;
    const start = supportStart[project] as number;
    const end = supportStart[project + 1] as number;
    for (let k = start; k < end; k++) {
      const group = supportGroup[k] as number;
      topScore = Math.max(topScore, supportScore[k] as number);
      if (this.purse.budget[group] === 0 || this.purse.exhausted[group] !== 1) continue;
      const weight = groupWeight[group] as number;
      const term = weight * (this.slope[group] as number);
      sum += term;
      size += Math.abs(term);
      weightOut += weight;
    }
    const error = (weightOut * this.slopeError + (end - start + 4) * EPSILON * size) / rate.slope;
    return {
      price: this.purse.near(rate),
      slope: weightOut === 0 ? 0 : -sum / rate.slope,
      error: weightOut === 0 ? 0 : error * (1 + 4 * EPSILON),
      topScore,
    };
  }

  /** Those who give all must go on to, and those who pay in full must be able to. */
  private narrowByDivision(project: number, { price, slope, error }: PriceLine): void {
    const { supportStart, supportGroup, supportScore } = this.box;
    const slack = this.purse.slack() + 8 * EPSILON * this.purse.top;
    for (let k = supportStart[project] as number; k < (supportStart[project + 1] as number); k++) {
      const group = supportGroup[k] as number;
      const left = this.purse.budget[group] as number;
      if (left === 0) continue;
      const score = supportScore[k] as number;
      const due = price * score;
      const margin = Math.abs(left - due) - slack - 8 * EPSILON * due;
      const side = this.purse.exhausted[group] === 1 ? -1 : 1;
      const grows = side * ((this.slope[group] as number) - slope * score);
      const unsure =
        this.slopeError + error * score + 8 * EPSILON * (this.steepest + Math.abs(slope * score));
      this.cut(this.purse.exhausted[group] === 2 ? 0 : crossing(margin, grows - unsure));
    }
  }

  private narrowByRival(rival: number, chosen: number, price: PriceLine, tied: boolean): void {
    const perUtility = (project: number) => (this.sizeInverse[project] as number) / this.purse.total;
    const at = price.price * perUtility(chosen) * (1 + 8 * EPSILON);
    const rises = price.slope * perUtility(chosen);
    for (const fresh of [false, true]) {
      const line = this.lineOf(rival, fresh);
      const current = line.round === this.round;
      // A tie of two prices that no raise moves stays one, and is broken the same way. An earlier line is only a bound.
      const still = line.slope === 0 && line.error === 0 && price.slope === 0;
      if (tied && current && line.short === undefined && still) return;
      const gap = line.floor * perUtility(rival) * (1 - 8 * EPSILON) - at;
      const unsure =
        (line.error + 8 * EPSILON * Math.abs(line.slope)) * perUtility(rival) +
        (price.error + 8 * EPSILON * Math.abs(price.slope)) * perUtility(chosen);
      const dearer = crossing(gap, line.slope * perUtility(rival) - rises - unsure);
      const unaffordable = line.short === undefined ? 0 : crossing(line.short, line.shortSlope);
      const holds = Math.max(dearer, unaffordable);
      if (holds >= this.limit) return;
      if (current) this.cut(holds);
    }
  }

  /** A line that the price of a project stays above from now on: an earlier one will do, as budgets only shrink. */
  private lineOf(project: number, fresh: boolean): RivalLine {
    const known = this.lines[project];
    if (known && (!fresh || known.round === this.round)) return known;
    const line = known || fresh ? this.drawLine(project) : this.firstLine(project);
    this.lines[project] = line;
    return line;
  }

  private firstLine(project: number): RivalLine {
    const floor = (this.purse.cost[project] as number) / (this.box.supportTotal[project] as number);
    return { round: -1, floor: floor * (1 - 4 * EPSILON), slope: 0, error: 0 };
  }

  private drawLine(project: number): RivalLine {
    const { supportStart, supportGroup, supportScore, groupWeight } = this.box;
    const start = supportStart[project] as number;
    const end = supportStart[project + 1] as number;
    const cost = this.purse.cost[project] as number;
    const error = this.purse.errorOfSum(project);
    let price = cost / (this.box.supportTotal[project] as number);
    for (;;) {
      let paid = 0;
      let payers = 0;
      let grows = 0;
      let size = 0;
      let weightOut = 0;
      let richest = start;
      for (let k = start; k < end; k++) {
        const group = supportGroup[k] as number;
        const left = this.purse.budget[group] as number;
        const score = supportScore[k] as number;
        const weight = groupWeight[group] as number;
        if (left / score > this.ratio(richest)) richest = k;
        if (left >= price * score) {
          payers += weight * score;
          continue;
        }
        const term = weight * (this.slope[group] as number);
        paid += weight * left;
        grows += term;
        size += Math.abs(term);
        weightOut += left === 0 ? 0 : weight;
      }
      const growsError = weightOut * this.slopeError + (end - start + 4) * EPSILON * size;
      if (payers === 0) return this.shortLine(richest, cost - paid - error, grows, growsError);
      const next = (cost - paid) / payers;
      if (next > price) {
        price = next;
        continue;
      }
      const slope = weightOut === 0 ? 0 : -grows / payers;
      return { round: this.round, floor: next - error / payers, slope, error: growsError / payers };
    }
  }

  private ratio(entry: number): number {
    const { supportGroup, supportScore } = this.box;
    return (this.purse.budget[supportGroup[entry] as number] as number) / (supportScore[entry] as number);
  }

  /** Of a project whose supporters lack `short`: were it affordable, its price would be where the richest pays. */
  private shortLine(richest: number, short: number, grows: number, growsError: number): RivalLine {
    const { supportGroup, supportScore, groupWeight } = this.box;
    const group = supportGroup[richest] as number;
    const score = supportScore[richest] as number;
    const own = (groupWeight[group] as number) * score;
    const ownSlope = this.slope[group] as number;
    const floor = this.ratio(richest) + short / own - this.purse.slack() / score;
    const slope = ownSlope / score - grows / own;
    const error = this.slopeError / score + growsError / own + 8 * EPSILON * Math.abs(slope);
    return {
      round: this.round,
      floor: floor * (1 - 8 * EPSILON),
      slope,
      error,
      short,
      shortSlope: -grows - growsError,
    };
  }

  /** What the purchase does to the lines of its supporters. */
  private bend(project: number, { slope, error, topScore }: PriceLine): void {
    const { supportStart, supportGroup, supportScore } = this.box;
    let steepest = this.steepest;
    for (let k = supportStart[project] as number; k < (supportStart[project + 1] as number); k++) {
      const group = supportGroup[k] as number;
      if (this.purse.budget[group] === 0) continue;
      const bent = (this.slope[group] as number) - slope * (supportScore[k] as number);
      this.slope[group] = this.purse.exhausted[group] === 1 ? 0 : bent;
      steepest = Math.max(steepest, Math.abs(bent));
    }
    if (slope !== 0 || error !== 0)
      this.slopeError += topScore * error + 4 * EPSILON * (steepest + Math.abs(slope) * topScore);
    this.steepest = steepest;
  }
}

/** The price of a purchase over the raise: at 0, how fast it rises, and how far that rise may be off. */
interface PriceLine {
  readonly price: number;
  readonly slope: number;
  readonly error: number;
  readonly topScore: number;
}

/** What the price of a project that was not bought stays above. */
interface RivalLine {
  readonly round: number;
  readonly floor: number;
  readonly slope: number;
  readonly error: number;
  /** What its supporters lack for certain, if they do, and how fast that changes at worst. */
  readonly short?: number;
  readonly shortSlope?: number;
}

/** Where a margin that changes at this rate is used up; a little before. */
function crossing(margin: number, rate = 0): number {
  if (!(margin > 0)) return 0;
  return rate >= 0 ? Number.POSITIVE_INFINITY : (margin / -rate) * (1 - 8 * EPSILON);
}
