import type { KnownFactors } from './describe-model.js';

export interface Landscape {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  readonly counts: readonly (readonly number[])[];
  readonly holes: readonly { readonly row: string; readonly column: string }[];
}

/** How many models there are of each combination of two factors. Unknown levels are shown as such and make no hole. */
export function countLandscape(
  models: readonly KnownFactors[],
  rowFactor: string,
  columnFactor: string,
): Landscape {
  const level = (factors: KnownFactors, name: string): string => {
    const value = factors[name] ?? null;
    return value === null ? unknown : String(value);
  };
  const cells = new Map<string, number>();
  const rowTotals = new Map<string, number>();
  const columnTotals = new Map<string, number>();
  for (const factors of models) {
    const [row, column] = [level(factors, rowFactor), level(factors, columnFactor)];
    add(cells, JSON.stringify([row, column]));
    add(rowTotals, row);
    add(columnTotals, column);
  }
  const rows = byCount(rowTotals);
  const columns = byCount(columnTotals);
  const counts = rows.map((row) => columns.map((column) => cells.get(JSON.stringify([row, column])) ?? 0));
  const holes = rows.flatMap((row, r) =>
    columns.flatMap((column, c) =>
      counts[r]?.[c] === 0 && row !== unknown && column !== unknown ? [{ row, column }] : [],
    ),
  );
  return { rows, columns, counts, holes };
}

const unknown = 'unknown';

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function byCount(totals: ReadonlyMap<string, number>): string[] {
  return [...totals].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([key]) => key);
}
