import { drawLot } from './lot.js';
import { add, compare, parseRational, type Rational, rationalText, zero } from './rational.js';

/** One winner among options, of which one means "none of these". */
export interface SchulzeInput {
  readonly options: readonly string[];
  /** The option that stands for no decision; every other must beat it. Not one of `options`. */
  readonly defaultOption: string;
  /** How many votes (by weight) must prefer an option to the default for it to stand at all. 0 asks for none. */
  readonly quorum: string;
  readonly ballots: readonly RankedBallot[];
  /** Only a tie that the method itself leaves is decided by lot. */
  readonly seed: string;
}

export interface RankedBallot {
  readonly id: string;
  readonly weight?: string;
  /** Tiers of equals, best first. What is not named comes after all that is, as equals. */
  readonly ranking: readonly (readonly string[])[];
}

export interface SchulzeOutcome {
  /** The default option when nothing beat it. */
  readonly winner: string;
  /** All options that the method holds equal to the winner; more than one only when a lot had to decide. */
  readonly level: readonly string[];
  /** preferences[a][b]: weight of ballots that rank a above b. In the order of `order`. */
  readonly order: readonly string[];
  readonly preferences: readonly (readonly string[])[];
  readonly losers: readonly SchulzeLoser[];
}

export interface SchulzeLoser {
  readonly option: string;
  readonly reason:
    | { readonly code: 'below_quorum'; readonly votes: string }
    | { readonly code: 'not_above_default'; readonly votes: string; readonly against: string }
    | { readonly code: 'beaten'; readonly by: string }
    | { readonly code: 'lot' };
}

/** How strongly one option defeats another: by the votes for it, and of equals by fewer votes against. */
interface Defeat {
  readonly votes: Rational;
  readonly against: Rational;
}

/**
 * Schulze's method as Debian's constitution applies it: options below the quorum, or that do not beat the default
 * option, are dropped first; among the rest and the default the strongest paths decide, measured by winning votes.
 */
export function schulze(input: SchulzeInput): SchulzeOutcome {
  const order = [...input.options, input.defaultOption];
  const preferences = countPreferences(order, input.ballots);
  const last = order.length - 1;
  const quorum = parseRational(input.quorum) ?? zero;
  const losers: SchulzeLoser[] = [];
  const standing: number[] = [];
  for (let option = 0; option < last; option++) {
    const votes = at(preferences, option, last);
    const against = at(preferences, last, option);
    const reason = dropReason(votes, against, quorum);
    if (reason) losers.push({ option: order[option] as string, reason });
    else standing.push(option);
  }
  standing.push(last);
  const paths = strongestPaths(standing, preferences);
  const beatenBy = (option: number): number | undefined =>
    standing.find((rival) => stronger(paths.get(key(rival, option)), paths.get(key(option, rival))));
  const level = standing.filter((option) => beatenBy(option) === undefined);
  const winner = firstByLot(level, order, input);
  for (const option of standing) {
    if (option === winner || option === last) continue;
    const by = beatenBy(option);
    const reason =
      by === undefined ? { code: 'lot' as const } : { code: 'beaten' as const, by: order[by] as string };
    losers.push({ option: order[option] as string, reason });
  }
  return {
    winner: order[winner] as string,
    level: level.map((option) => order[option] as string),
    order,
    preferences: preferences.map((row) => row.map(rationalText)),
    losers,
  };
}

function dropReason(
  votes: Rational,
  against: Rational,
  quorum: Rational,
): SchulzeLoser['reason'] | undefined {
  if (compare(votes, quorum) < 0) return { code: 'below_quorum', votes: rationalText(votes) };
  if (compare(votes, against) > 0) return undefined;
  return { code: 'not_above_default', votes: rationalText(votes), against: rationalText(against) };
}

function countPreferences(order: readonly string[], ballots: readonly RankedBallot[]): Rational[][] {
  const counts = order.map(() => order.map(() => zero));
  for (const { ranking, weight } of ballots) {
    const tiers = new Map<string, number>();
    for (const [tier, options] of ranking.entries()) {
      for (const option of options) if (!tiers.has(option)) tiers.set(option, tier);
    }
    const worth = parseRational(weight ?? '1') ?? zero;
    const tierOf = order.map((option) => tiers.get(option) ?? ranking.length);
    for (const [a, row] of counts.entries()) {
      for (let b = 0; b < row.length; b++) {
        if ((tierOf[a] as number) < (tierOf[b] as number)) row[b] = add(row[b] as Rational, worth);
      }
    }
  }
  return counts;
}

const at = (matrix: readonly (readonly Rational[])[], a: number, b: number): Rational =>
  matrix[a]?.[b] ?? zero;
const key = (a: number, b: number): string => `${a} ${b}`;

/** Floyd and Warshall over the defeats, a path being as strong as its weakest defeat. */
function strongestPaths(
  options: readonly number[],
  preferences: readonly (readonly Rational[])[],
): Map<string, Defeat> {
  const paths = new Map<string, Defeat>();
  for (const a of options) {
    for (const b of options) {
      const defeat = { votes: at(preferences, a, b), against: at(preferences, b, a) };
      if (a !== b && compare(defeat.votes, defeat.against) > 0) paths.set(key(a, b), defeat);
    }
  }
  for (const middle of options) {
    for (const a of options) {
      const first = paths.get(key(a, middle));
      if (!first) continue;
      for (const b of options) {
        const second = paths.get(key(middle, b));
        if (!second || a === b) continue;
        const weakest = stronger(first, second) ? second : first;
        if (stronger(weakest, paths.get(key(a, b)))) paths.set(key(a, b), weakest);
      }
    }
  }
  return paths;
}

function stronger(a: Defeat | undefined, b: Defeat | undefined): boolean {
  if (!a) return false;
  if (!b) return true;
  return (compare(a.votes, b.votes) || compare(b.against, a.against)) > 0;
}

/** The default option gives way to a proposal it is level with; among proposals the lot decides. */
function firstByLot(level: readonly number[], order: readonly string[], input: SchulzeInput): number {
  const proposals = level.filter((option) => order[option] !== input.defaultOption);
  const lot = (option: number): string => drawLot(input.seed, order[option] as string);
  return proposals.reduce((a, b) => (lot(a) < lot(b) ? a : b), proposals[0] ?? (level[0] as number));
}
