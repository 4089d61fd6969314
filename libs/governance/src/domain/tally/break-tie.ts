import { type BallotBox } from './ballot-box.js';
import { compare, type Rational } from './rational.js';

/** What can decide between tied projects, in the order in which it is asked. */
export const tieBreakers = ['cost', 'supporters', 'lot'] as const;
export type TieBreaker = (typeof tieBreakers)[number];

/** A tie that had to be broken: at which winner, who was level, who went first, and what it took to decide. */
export interface Tie {
  /** The place, from 1, among the winners of the project that went first. */
  readonly round: number;
  /** In the order in which the tie was broken. */
  readonly tied: readonly number[];
  readonly chosen: number;
  readonly by: TieBreaker;
}

/**
 * Which of two tied projects comes first: the cheaper, then the one with more supporters, then the lot. Negative
 * when a does. Names and the order of the list never decide.
 */
export function breakTie(box: BallotBox, a: number, b: number): { order: number; by: TieBreaker } {
  const cheaper = compare(box.size[a] as Rational, box.size[b] as Rational);
  if (cheaper !== 0) return { order: cheaper, by: 'cost' };
  const more = (box.supportWeight[b] as number) - (box.supportWeight[a] as number);
  if (more !== 0) return { order: more, by: 'supporters' };
  return { order: (box.lot[a] as string) < (box.lot[b] as string) ? -1 : 1, by: 'lot' };
}

/** The first of several tied projects, and the tie to publish. */
export function settleTie(box: BallotBox, tied: readonly number[], round: number): Tie {
  const chosen = tied.reduce((first, other) => (breakTie(box, first, other).order < 0 ? first : other));
  let rank = 0;
  for (const other of tied) {
    if (other !== chosen) rank = Math.max(rank, tieBreakers.indexOf(breakTie(box, chosen, other).by));
  }
  const inOrder = [...tied].sort((a, b) => breakTie(box, a, b).order);
  return { round, tied: inOrder, chosen, by: tieBreakers[rank] ?? 'lot' };
}
