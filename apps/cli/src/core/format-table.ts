/** A cell: numbers stand right, text left, nothing as a dash. */
export type Cell = string | number | boolean | null | undefined;

/** An aligned table for people, with a line under its head; `none` stands in for an empty one. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  none = 'none',
): string {
  if (rows.length === 0) return none;
  const texts = rows.map((row) => head.map((_, i) => cellText(row[i])));
  const widths = head.map((title, i) => Math.max(width(title), ...texts.map((row) => width(row[i] ?? ''))));
  const right = head.map((_, i) =>
    rows.every((row) => row[i] === null || row[i] === undefined || typeof row[i] === 'number'),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((text, i) => {
        const gap = ' '.repeat((widths[i] ?? 0) - width(text));
        return right[i] ? gap + text : text + gap;
      })
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((n) => '─'.repeat(n)).join('  '), ...texts.map(line)].join('\n');
}

/** Names and values of one thing, one per line. */
export function formatFields(fields: Readonly<Record<string, Cell>>): string {
  const widest = Math.max(...Object.keys(fields).map(width));
  return Object.entries(fields)
    .map(([name, value]) => `${name}${' '.repeat(widest - width(name))}  ${cellText(value)}`)
    .join('\n');
}

function cellText(cell: Cell): string {
  if (cell === null || cell === undefined || cell === '') return '–';
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  return String(cell).replaceAll(/\p{Cc}/gu, ' ');
}

/** Cells of a terminal: names are in every language, and East Asian letters take two cells each. */
function width(text: string): number {
  let cells = 0;
  for (const letter of text.normalize('NFC')) cells += wide.test(letter) ? 2 : combining.test(letter) ? 0 : 1;
  return cells;
}

const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]/u;
const combining = /\p{Mn}/u;
