/** What the demo says: a story in chapters, with progress where something takes time. */

const clearLine = '\r\u001b[K';
const barWidth = 28;
/** On a terminal that cannot be redrawn, progress is a line now and then. */
const plainLineEveryMs = 5_000;

export interface Narrator {
  chapter(title: string): void;
  say(line: string): void;
  /** A fact with its figure, aligned with its neighbours. */
  fact(name: string, value: string): void;
  /** Something that was expected to hold, and does; throws when it does not, so the demo cannot pass by accident. */
  check(what: string, holds: boolean, detail?: string): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  progress(label: string): Progress;
}

export interface Progress {
  update(fraction: number, note?: string): void;
  done(note?: string): void;
}

export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

export interface Checked {
  readonly chapter: string;
  readonly what: string;
  readonly detail: string | undefined;
}

/** A narrator that writes to a stream and keeps every check for the report. */
export function createNarrator(out: NodeJS.WriteStream, checks: Checked[]): Narrator {
  let chapters = 0;
  let chapter = '';
  const line = (text: string): void => void out.write(`${text}\n`);
  return {
    chapter(title) {
      chapters += 1;
      chapter = title;
      line('');
      line(`${chapters}. ${title}`);
      line('─'.repeat(title.length + String(chapters).length + 2));
    },
    say: (text) => line(`   ${text}`),
    fact: (name, value) => line(`   ${name.padEnd(28)} ${value}`),
    check(what, holds, detail) {
      if (!holds) throw new CheckFailed(`${what}${detail === undefined ? '' : ` (${detail})`}`);
      checks.push({ chapter, what, detail });
      line(`   ✔ ${what}${detail === undefined ? '' : `: ${detail}`}`);
    },
    table(head, rows) {
      const widths = head.map((name, i) =>
        Math.max(name.length, ...rows.map((row) => (row[i] ?? '').length)),
      );
      const format = (cells: readonly string[]) =>
        `   ${cells.map((cell, i) => (/^[-+]?[\d.,]+( %)?$/.test(cell) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join('  ')}`;
      line(format(head));
      line(`   ${widths.map((width) => '─'.repeat(width)).join('  ')}`);
      for (const row of rows) line(format(row));
    },
    progress(label) {
      let lastPlainMs = 0;
      const draw = (fraction: number, note: string): string => {
        const full = Math.round(Math.min(1, Math.max(0, fraction)) * barWidth);
        return `   ${label} ${'█'.repeat(full)}${'░'.repeat(barWidth - full)} ${String(Math.round(fraction * 100)).padStart(3)} %  ${note}`;
      };
      return {
        update(fraction, note = '') {
          if (out.isTTY) {
            out.write(clearLine + draw(fraction, note).slice(0, (out.columns ?? 100) - 1));
          } else if (Date.now() - lastPlainMs >= plainLineEveryMs) {
            lastPlainMs = Date.now();
            line(draw(fraction, note));
          }
        },
        done(note = '') {
          if (out.isTTY) out.write(clearLine);
          line(draw(1, note));
        },
      };
    },
  };
}

/** `2 h 05 min`, `3 min 20 s`, `12.3 s`. */
export function duration(seconds: number): string {
  if (seconds >= 3600)
    return `${Math.floor(seconds / 3600)} h ${String(Math.round((seconds % 3600) / 60)).padStart(2, '0')} min`;
  if (seconds >= 60)
    return `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, '0')} s`;
  return `${seconds.toFixed(1)} s`;
}
