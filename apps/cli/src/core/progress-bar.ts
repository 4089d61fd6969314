/** How far something is; ends with `done`, or short of that with `stopped`. */
export interface Progress {
  /** Sets the count reached, and what is being done. */
  at(count: number, note?: string): void;
  done(note?: string): void;
  /** It goes no further than it came. */
  stopped(note: string): void;
}

export interface ProgressScreen {
  readonly isTerminal: boolean;
  readonly columns: number;
  write(text: string): void;
}

const barCells = 24;
/** A terminal is redrawn at most so often. */
const redrawEveryMs = 80;
/** Without a terminal a line appears at most so often. */
const lineEveryMs = 10_000;

/** One line that fills up on a terminal; elsewhere a few lines. */
export function progressBar(
  screen: ProgressScreen,
  title: string,
  total: number,
  nowMs: () => number = () => performance.now(),
): Progress {
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  const draw = (count: number, note: string, end: string) => {
    const line = screen.isTerminal
      ? `\r\x1b[2K${barLine(title, count, total, note).slice(0, Math.max(20, screen.columns - 1))}${end}`
      : `${title}: ${count}/${total}${note === '' ? '' : ` ${note}`}\n`;
    screen.write(line);
    drawnAtMs = nowMs();
  };
  let last = 0;
  return {
    at(count, note = '') {
      last = count;
      if (nowMs() - drawnAtMs >= (screen.isTerminal ? redrawEveryMs : lineEveryMs)) draw(count, note, '');
    },
    done(note = '') {
      draw(Math.max(last, total), note, '\n');
    },
    stopped(note) {
      draw(last, note, '\n');
    },
  };
}

export function barLine(title: string, count: number, total: number, note: string): string {
  const share = total <= 0 ? 1 : Math.min(1, Math.max(0, count / total));
  const full = Math.floor(share * barCells);
  const bar = '█'.repeat(full) + '░'.repeat(barCells - full);
  return `${title}  ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${count}/${total}${note === '' ? '' : `  ${note}`}`;
}
