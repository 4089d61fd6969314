import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { FigureSpec } from './domain/draw-figure.js';

/** Draws a figure as one self-contained SVG: no scripts, no fonts or data from elsewhere. */
export async function renderSvg(spec: FigureSpec): Promise<string> {
  measureAsHelvetica();
  const compiled = compile(spec as unknown as TopLevelSpec, { logger: quiet });
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none', logger: quiet, loader: closed });
  try {
    await view.runAsync();
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

const quiet = vega.logger(vega.Error);

/** A figure loads nothing. */
const closed = vega.loader();
closed.load = () => Promise.reject(new Error('a figure loads nothing'));

/** Widths of the characters from space to tilde in Helvetica, in thousandths of its size. */
const helvetica = [
  278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
  556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
  500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
  556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
  278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
const otherLetter = 600;
const ideograph = 1_000;
const bolder = 1.06;

interface TextItem {
  readonly text?: unknown;
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

/**
 * Without a canvas Vega takes every character to be 0.8 of its height wide, and then leaves gaps where it believes long
 * axis titles to stick out. Measured as Helvetica, and so as Arial, the panels close up.
 */
function measureAsHelvetica(): void {
  const metrics = (vega as unknown as { textMetrics: { width: (item: TextItem, text?: unknown) => number } })
    .textMetrics;
  metrics.width = (item, text) => {
    const value = text ?? item.text ?? '';
    const lines = Array.isArray(value) ? value.map(String) : [String(value)];
    const bold = item.fontWeight === 'bold' || Number(item.fontWeight) >= 600 ? bolder : 1;
    return (Math.max(0, ...lines.map(widthInThousandths)) * (item.fontSize ?? 11) * bold) / 1_000;
  };
}

function widthInThousandths(line: string): number {
  let sum = 0;
  for (const character of line) {
    const code = character.codePointAt(0) ?? 0;
    sum += helvetica[code - 32] ?? (code >= 0x2e80 ? ideograph : otherLetter);
  }
  return sum;
}
