import type { BallotBox } from './ballot-box.js';
import { breakTie, settleTie, type Tie } from './break-tie.js';
import { compare, type Rational } from './rational.js';
import type { Utility } from './tally-input.js';

export interface GreedyOutcome {
  readonly winners: readonly number[];
  readonly ties: readonly Tie[];
  /** The project at which the count stopped because it did not fit, where the rule does not skip. */
  readonly stop?: number;
}

export interface GreedyStart {
  readonly utility: Utility;
  readonly skip: boolean;
  /** Winners that were chosen before, by another rule, and have spent their part. */
  readonly chosen?: readonly number[];
}

/** Takes projects in order of votes (or points) while they fit; of equals the cheaper first. */
export function takeGreedily(box: BallotBox, start: GreedyStart): GreedyOutcome {
  const chosen = start.chosen ?? [];
  const left = [...box.budget];
  const variants = new Set<number>();
  const winners: number[] = [];
  const ties: Tie[] = [];
  const take = (project: number) => {
    variants.add(box.exclusive[project] as number);
    variants.delete(-1);
    for (let r = 0; r < left.length; r++) left[r] = (left[r] as bigint) - (box.cost[r]?.[project] ?? 0n);
  };
  for (const project of chosen) take(project);
  const merit = (a: number, b: number) => compareMerit(box, start.utility, a, b);
  const order = contenders(box, start).sort((a, b) => merit(a, b) || breakTie(box, a, b).order);
  const open = (project: number) => !variants.has(box.exclusive[project] as number);
  for (const [place, project] of order.entries()) {
    if (!open(project)) continue;
    const room = fits(box, project, left);
    if (!room && start.skip) continue;
    const tied = [project];
    for (let k = place + 1; k < order.length && merit(project, order[k] as number) === 0; k++) {
      const other = order[k] as number;
      if (open(other) && (!start.skip || fits(box, other, left))) tied.push(other);
    }
    if (tied.length > 1) ties.push(settleTie(box, tied, chosen.length + winners.length + 1));
    if (!room) return { winners, ties, stop: project };
    winners.push(project);
    take(project);
  }
  return { winners, ties };
}

export function fits(box: BallotBox, project: number, left: readonly bigint[]): boolean {
  return left.every((rest, resource) => (box.cost[resource]?.[project] ?? 0n) <= rest);
}

/** Supported projects that reach the threshold and are not chosen yet. */
function contenders(box: BallotBox, { chosen }: GreedyStart): number[] {
  const taken = new Set(chosen);
  const found: number[] = [];
  for (let project = 0; project < box.projectCount; project++) {
    if (box.eligible[project] === 1 && !taken.has(project)) found.push(project);
  }
  return found;
}

/** Negative when a is taken before b on merit alone, 0 when they are tied. */
function compareMerit(box: BallotBox, utility: Utility, a: number, b: number): number {
  const totalA = BigInt(box.supportTotal[a] as number);
  const totalB = BigInt(box.supportTotal[b] as number);
  if (utility === 'cost') return totalA > totalB ? -1 : totalA < totalB ? 1 : 0;
  const sizeA = box.size[a] as Rational;
  const sizeB = box.size[b] as Rational;
  return compare({ n: totalB * sizeA.n, d: sizeA.d }, { n: totalA * sizeB.n, d: sizeB.d });
}
