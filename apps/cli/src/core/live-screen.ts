/** Part of a terminal that is drawn again in place, or lines that follow each other where there is no terminal. */
export interface Screen {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
}

/** Control sequences of ECMA-48: up, to the first column, erase to the end of line and of screen, cursor off and on. */
const sequence = '\x1b[';
const redrawEveryMs = 200;

/** Lines on a terminal that are redrawn in place, at most a few times a second, and never more than fit on it. */
export class LiveLines {
  private drawn = 0;
  private timer: NodeJS.Timeout | undefined;
  private lines: () => readonly string[] = () => [];

  constructor(private readonly screen: Screen) {
    screen.write(`${sequence}?25l`);
  }

  /** Will draw what `lines` then answers, shortly. */
  draw(lines: () => readonly string[]): void {
    this.lines = lines;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.drawNow();
    }, redrawEveryMs);
  }

  /** Draws for the last time and leaves the cursor below. */
  end(): void {
    clearTimeout(this.timer);
    this.drawNow();
    this.screen.write(`${sequence}?25h`);
  }

  private drawNow(): void {
    const { columns, rows } = this.screen;
    const all = this.lines();
    const fit = Math.max(1, rows - 2);
    const shown = all.length <= fit ? all : [...all.slice(0, fit - 1), `… ${all.length - fit + 1} more`];
    const up = this.drawn === 0 ? '' : `${sequence}${this.drawn}A\r`;
    const text = shown.map((line) => `${[...line].slice(0, columns - 1).join('')}${sequence}K\n`).join('');
    this.screen.write(`${up}${text}${sequence}J`);
    this.drawn = shown.length;
  }
}
