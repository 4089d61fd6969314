import { type Described, questions, varyingFactors } from './contrasts.js';

/** A factor that varies over a set of models. */
export interface FactorFinding {
  readonly factor: string;
  readonly levels: number;
  /** Models of which the level is unknown. */
  readonly unknown: number;
  /** Pairs that differ in this factor and nothing else: with none, its effect cannot be told from others'. */
  readonly cleanPairs: number;
  /** Factors that differ wherever this one does: whatever is seen may be their doing. */
  readonly confoundedWith: readonly string[];
}

/** How far two factors vary together: 0 in a full grid, 1 where one follows from the other. */
export interface Association {
  readonly factors: readonly [string, string];
  /** Cramér's V. */
  readonly strength: number;
  /** Each determines the other: nothing in this set can tell them apart. */
  readonly inseparable: boolean;
}

export interface ConfoundingReport {
  readonly models: number;
  /** Equal, and known, in all models: held, so nothing can be said about them. */
  readonly held: readonly string[];
  readonly factors: readonly FactorFinding[];
  /** Pairs of factors that do not vary freely of each other, strongest first. */
  readonly associations: readonly Association[];
  /** Factors whose effect this set of models cannot show. */
  readonly unanswerable: readonly string[];
}

/** Below this, two factors count as crossed; rounding alone stays far below. */
const associationFloor = 1e-9;

/** What a set of models can and cannot answer. */
export function confounding(models: readonly Described[]): ConfoundingReport {
  const varying = varyingFactors(models);
  const clean = new Map(questions(models).map((question) => [question.factor, question.pairs]));
  const levels = new Map(varying.map((factor) => [factor, levelsOf(models, factor)]));
  const factors = varying.map((factor) => finding(factor, levels, clean.get(factor) ?? 0));
  const associations: Association[] = [];
  for (const [index, a] of varying.entries()) {
    for (const b of varying.slice(index + 1)) {
      const association = associationOf(a, b, levels);
      if (association.strength > associationFloor) associations.push(association);
    }
  }
  return {
    models: models.length,
    held: [...new Set(models.flatMap((model) => Object.keys(model.factors)))].filter(
      (factor) => !varying.includes(factor),
    ),
    factors,
    associations: associations.sort((x, y) => y.strength - x.strength),
    unanswerable: factors.filter((one) => one.levels > 1 && one.cleanPairs === 0).map((one) => one.factor),
  };
}

type Level = string | number | boolean | null;

function levelsOf(models: readonly Described[], factor: string): Level[] {
  return models.map((model) => model.factors[factor] ?? null);
}

function finding(factor: string, levels: ReadonlyMap<string, Level[]>, cleanPairs: number): FactorFinding {
  const mine = levels.get(factor) ?? [];
  const known = new Set(mine.filter((level) => level !== null));
  const confoundedWith =
    known.size < 2
      ? []
      : [...levels]
          .filter(([other, theirs]) => other !== factor && determines(theirs, mine))
          .map(([other]) => other);
  return {
    factor,
    levels: known.size,
    unknown: mine.filter((level) => level === null).length,
    cleanPairs,
    confoundedWith,
  };
}

/** Whether equal levels of `a` always mean equal levels of `b`; then `a` differs wherever `b` does. */
function determines(a: readonly Level[], b: readonly Level[]): boolean {
  const implied = new Map<Level, Level>();
  for (const [index, level] of a.entries()) {
    const other = b[index] ?? null;
    if (level === null || other === null) continue;
    if (implied.has(level) && implied.get(level) !== other) return false;
    implied.set(level, other);
  }
  return true;
}

function associationOf(a: string, b: string, levels: ReadonlyMap<string, Level[]>): Association {
  const pairs = (levels.get(a) ?? []).flatMap((x, index): [Level, Level][] => {
    const y = levels.get(b)?.[index] ?? null;
    return x === null || y === null ? [] : [[x, y]];
  });
  const xs = pairs.map(([x]) => x);
  const ys = pairs.map(([, y]) => y);
  const inseparable = new Set(xs).size > 1 && determines(xs, ys) && determines(ys, xs);
  return { factors: [a, b], strength: cramersV(pairs), inseparable };
}

function cramersV(pairs: readonly (readonly [Level, Level])[]): number {
  const rows = countBy(pairs.map(([x]) => JSON.stringify(x)));
  const columns = countBy(pairs.map(([, y]) => JSON.stringify(y)));
  const least = Math.min(rows.size, columns.size);
  if (least < 2) return 0;
  const joint = countBy(pairs.map((pair) => JSON.stringify(pair)));
  const n = pairs.length;
  let chiSquare = 0;
  for (const [x, inRow] of rows) {
    for (const [y, inColumn] of columns) {
      const expected = (inRow * inColumn) / n;
      const seen = joint.get(`[${x},${y}]`) ?? 0;
      chiSquare += (seen - expected) ** 2 / expected;
    }
  }
  return Math.min(1, Math.sqrt(chiSquare / (n * (least - 1))));
}

function countBy(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
