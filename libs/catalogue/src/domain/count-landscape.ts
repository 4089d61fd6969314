import type { KnownFactors } from './describe-model.js';

/** How many models there are of each combination, and the combinations of known levels that have none. */
interface LandscapeCounts {
  readonly counts: readonly (readonly number[])[];
  readonly holes: readonly { readonly row: string; readonly column: string }[];
}

export interface Landscape extends LandscapeCounts {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** The same for each level of a third factor, over the same rows and columns. */
  readonly splits: readonly (LandscapeCounts & { readonly level: string })[];
}

/**
 * How many models there are of each combination of two factors, or of three. Unknown levels are shown as such and make
 * no hole.
 */
export function countLandscape(
  models: readonly KnownFactors[],
  rowFactor: string,
  columnFactor: string,
  splitFactor?: string,
): Landscape {
  const rows = levelsByCount(models, rowFactor);
  const columns = levelsByCount(models, columnFactor);
  const count = (some: readonly KnownFactors[]): LandscapeCounts => {
    const cells = new Map<string, number>();
    for (const factors of some) {
      add(cells, JSON.stringify([levelOf(factors, rowFactor), levelOf(factors, columnFactor)]));
    }
    const counts = rows.map((row) => columns.map((column) => cells.get(JSON.stringify([row, column])) ?? 0));
    const holes = rows.flatMap((row, r) =>
      columns.flatMap((column, c) =>
        counts[r]?.[c] === 0 && row !== unknown && column !== unknown ? [{ row, column }] : [],
      ),
    );
    return { counts, holes };
  };
  const levels = splitFactor === undefined ? [] : levelsByCount(models, splitFactor);
  const splits = levels.map((level) => {
    const split = count(models.filter((factors) => levelOf(factors, splitFactor ?? '') === level));
    return { level, ...split, holes: level === unknown ? [] : split.holes };
  });
  return { rows, columns, ...count(models), splits };
}

function levelOf(factors: KnownFactors, name: string): string {
  const value = factors[name] ?? null;
  return value === null ? unknown : String(value);
}

/** The levels of a factor, the most frequent first. */
function levelsByCount(models: readonly KnownFactors[], factor: string): string[] {
  const totals = new Map<string, number>();
  for (const factors of models) add(totals, levelOf(factors, factor));
  return [...totals].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([key]) => key);
}

const unknown = 'unknown';

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
