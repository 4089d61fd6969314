import { err, ok, type Result } from '@beamtime/kernel';

/** Why a trace cannot be read, with the line to put right. */
export interface TraceProblem {
  readonly detail: string;
}

/** A column of a table: its name in the file, and how a cell becomes a value; undefined when it does not. */
export interface Column<T> {
  readonly name: string;
  readonly read: (cell: string) => T | undefined;
  /** What a cell must be, for the message. */
  readonly is: string;
}

export type Row<Columns> = { readonly line: number } & {
  readonly [Key in keyof Columns]: Columns[Key] extends Column<infer T> ? T : never;
};

/** Beyond it a mistyped file would fill the memory. */
const rowsMax = 5_000_000;

/**
 * Reads a table of comma-separated values with a header. Columns that nobody asked for are passed over; cells are
 * never quoted in the traces that we read. Stops at the first wrong line and names it.
 */
export function readTable<const Columns extends Record<string, Column<unknown>>>(
  text: string,
  columns: Columns,
): Result<Row<Columns>[], TraceProblem> {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  while (lines.at(-1)?.trim() === '') lines.pop();
  const header = lines[0]?.split(',').map((name) => name.trim());
  if (header === undefined) return err({ detail: 'the file is empty; its first line must name the columns' });
  const wanted: [key: string, column: Column<unknown>, at: number][] = [];
  for (const [key, column] of Object.entries(columns)) {
    const at = header.indexOf(column.name);
    if (at === -1)
      return err({ detail: `line 1: there is no column ${column.name} (it has ${header.join(', ')})` });
    wanted.push([key, column, at]);
  }
  if (lines.length === 1) return err({ detail: 'line 2: there is no row below the header' });
  if (lines.length > rowsMax) return err({ detail: `it has more than ${rowsMax} rows` });
  const rows: Row<Columns>[] = [];
  for (let index = 1; index < lines.length; index++) {
    const cells = (lines[index] ?? '').split(',');
    const line = index + 1;
    if (cells.length !== header.length)
      return err({ detail: `line ${line}: ${cells.length} cells where the header has ${header.length}` });
    const row: Record<string, unknown> = { line };
    for (const [key, column, at] of wanted) {
      const cell = (cells[at] ?? '').trim();
      const value = column.read(cell);
      if (value === undefined)
        return err({ detail: `line ${line}: ${column.name} must be ${column.is}, not ${shown(cell)}` });
      row[key] = value;
    }
    rows.push(row as Row<Columns>);
  }
  return ok(rows);
}

export function name(column: string): Column<string> {
  return { name: column, is: 'a name', read: (cell) => (cell === '' ? undefined : cell) };
}

/** Any text, also none. */
export function words(column: string): Column<string> {
  return { name: column, is: 'text', read: (cell) => cell };
}

export function wholeNumber(column: string, min: number, max: number): Column<number> {
  return {
    name: column,
    is: `a whole number from ${min} to ${max}`,
    read: (cell) => {
      const value = /^\d{1,15}$/.test(cell) ? Number(cell) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

/** Beyond it sums of times stop being exact. */
const decimalMax = 1e15;

/** A decimal number, `min` itself allowed only if `inclusive`. */
export function decimal(column: string, min: number, inclusive = true, max = decimalMax): Column<number> {
  return {
    name: column,
    is: `a number ${inclusive ? 'of at least' : 'above'} ${min}${max === decimalMax ? '' : ` and at most ${max}`}`,
    read: (cell) => {
      const value = /^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(cell) ? Number(cell) : Number.NaN;
      return (inclusive ? value >= min : value > min) && value <= max ? value : undefined;
    },
  };
}

function shown(cell: string): string {
  if (cell === '') return 'nothing';
  return `"${cell.length > 40 ? `${cell.slice(0, 40)}…` : cell}"`;
}
