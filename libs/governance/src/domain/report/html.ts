/** Text made safe to stand between tags and in quoted attributes. */
export function asHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

export interface Column {
  readonly title: string;
  /** Numbers stand right. */
  readonly number?: boolean;
}

/** A table of cells that are HTML already. */
export function htmlTable(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const cell = (tag: string, column: Column | undefined, html: string): string =>
    `<${tag}${column?.number ? ' class="number"' : ''}>${html}</${tag}>`;
  const head = columns.map((column) => cell('th', column, asHtml(column.title))).join('');
  const body = rows.map((row) => `<tr>${row.map((html, i) => cell('td', columns[i], html)).join('')}</tr>`);
  const says = caption === '' ? '' : `<caption>${asHtml(caption)}</caption>`;
  return `<table>${says}<thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
}

/** A thin bar that shows a part of a whole, with its meaning in words for those who do not see it. */
export function partBar(part: number, whole: number, meaning: string): string {
  const width = whole > 0 ? Math.max(0, Math.min(100, (100 * part) / whole)) : 0;
  return `<svg class="part" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="${asHtml(meaning)}"><title>${asHtml(meaning)}</title><rect class="whole" width="100" height="8"/><rect class="filled" width="${width.toFixed(2)}" height="8"/></svg>`;
}

export interface Segment {
  readonly label: string;
  readonly size: number;
  /** Not a part of its own but what is left over. */
  readonly rest?: boolean;
}

/** One bar cut into labelled segments: how a budget was divided. */
export function dividedBar(segments: readonly Segment[], meaning: string): string {
  const whole = segments.reduce((sum, { size }) => sum + size, 0);
  let at = 0;
  const cuts = segments.map(({ label, size, rest }, index) => {
    const width = whole > 0 ? (1000 * size) / whole : 0;
    const rect = `<rect class="${rest ? 'whole' : `cut${index % 2}`}" x="${at.toFixed(2)}" width="${width.toFixed(2)}" height="36"><title>${asHtml(label)}</title></rect>`;
    at += width;
    return rect;
  });
  return `<svg class="divided" viewBox="0 0 1000 36" preserveAspectRatio="none" role="img" aria-label="${asHtml(meaning)}">${cuts.join('')}</svg>`;
}

/** Columns of a small bar chart, each with its count written above and its name below. */
export function countColumns(
  counts: readonly { readonly name: string; readonly count: number }[],
  meaning: string,
): string {
  const tallest = Math.max(1, ...counts.map(({ count }) => count));
  const step = 56;
  const bars = counts.map(({ name, count }, index) => {
    const height = (90 * count) / tallest;
    const x = index * step + 6;
    const middle = x + 22;
    return (
      `<rect class="filled" x="${x}" y="${(110 - height).toFixed(1)}" width="44" height="${height.toFixed(1)}"/>` +
      `<text x="${middle}" y="${(106 - height).toFixed(1)}">${count.toLocaleString('en')}</text><text x="${middle}" y="126">${asHtml(name)}</text>`
    );
  });
  const width = counts.length * step;
  return `<svg class="columns" style="max-width:${width}px" viewBox="0 0 ${width} 132" role="img" aria-label="${asHtml(meaning)}">${bars.join('')}</svg>`;
}

export const reportStyle = `
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #5d6672; --paper: #fff; --line: #d5dae0; --whole: #e6e9ed; --a: #1f6f8b; --b: #4fa3b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #a3abb5; --paper: #15181c; --line: #3a4048; --whole: #2b3037; --a: #5db4cc; --b: #2f7f97; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; } p, li { max-width: 46rem; }
.lead { font-size: 1.15rem; } .faint, caption { color: var(--faint); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; padding: .3rem 0; } th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font-size: .85em; overflow-wrap: anywhere; } small { color: var(--faint); }
svg.part { width: 9rem; height: .5rem; } svg.divided { width: 100%; height: 2.2rem; } svg.columns { width: 100%; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); text-anchor: middle; }
.whole { fill: var(--whole); } .filled, .cut0 { fill: var(--a); } .cut1 { fill: var(--b); }
@media print { body { margin: 0; max-width: none; } tr, svg { break-inside: avoid; } }
`;
