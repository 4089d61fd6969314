import type { Checked } from './narrate.js';

const escapeHtml = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c] ?? c,
  );

const style = `
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1c2330; max-width: 60rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; } h2 { margin-top: 2.6rem; font-size: 1.25rem; border-bottom: 1px solid #dfe3ea; padding-bottom: .3rem; }
.lead { color: #5b6474; margin-top: .2rem; } ul.checks { list-style: none; padding: 0; } ul.checks li { padding: .15rem 0 .15rem 1.6rem; position: relative; }
ul.checks li::before { content: '✔'; color: #1a7f4b; position: absolute; left: 0; } .detail { color: #5b6474; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .8rem 0; } th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e7eaf0; vertical-align: top; }
th { color: #5b6474; } td.number { text-align: right; font-variant-numeric: tabular-nums; } code { font-size: .88em; overflow-wrap: anywhere; } figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; }
ol.chain { padding-left: 1.2rem; }`;

function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cell = (value: unknown): string => {
    const number = typeof value === 'number';
    const text = number ? value.toLocaleString('en', { maximumFractionDigits: 3 }) : String(value ?? '');
    return `<td${number ? ' class="number"' : ''}>${escapeHtml(text)}</td>`;
  };
  return `<table><thead><tr>${head.map((h) => `<th scope="col">${escapeHtml(h)}</th>`).join('')}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map(cell).join('')}</tr>`)
    .join('')}</tbody></table>`;
}

interface Report {
  readonly run: string;
  readonly seconds: number;
  readonly proposals: { title: string; gpuSeconds: number }[];
  readonly round: {
    result: {
      winners: { title: string; gpuSeconds: number; reason: string }[];
      losers: { title: string; reason: string }[];
      alternatives: { rule: string; winners: string[] }[];
    };
  };
  readonly training: {
    seconds: number;
    jobs: { name: string; clusterName: string; attempts: number; gpuSecondsUsed: number }[];
    fault: { clusterName: string; attempt: number; resumedFromStep: number; recoverySeconds: number };
  };
  readonly exactRestart: { model: string; interrupted: string; undisturbed: string };
  readonly use: {
    model: string;
    completion: { text: string };
    balances: { unit: string; granted: number; used: number; available: number }[];
  };
  readonly study: {
    table: {
      model: string;
      parameters: number;
      language: string;
      seed: number;
      bitsPerByte: number;
      previousToken: number;
      induction: number;
    }[];
    revisions: number;
  };
  readonly books: {
    totals: { unit: string; issued: number; available: number; held: number; used: number }[];
  };
  readonly chain: { what: string; id: string }[];
}

/** The story of a run as one page that needs nothing but itself. */
export function renderReport(
  data: Readonly<Record<string, unknown>>,
  checks: readonly Checked[],
  figureSvg: string,
): string {
  const report = data as unknown as Report;
  const { fault } = report.training;
  const checkList = (chapter: string): string => {
    const own = checks.filter((c) => c.chapter === chapter);
    if (own.length === 0) return '';
    return `<ul class="checks">${own
      .map(
        (c) =>
          `<li>${escapeHtml(c.what)}${c.detail === undefined ? '' : ` <span class="detail">${escapeHtml(c.detail)}</span>`}</li>`,
      )
      .join('')}</ul>`;
  };
  const chapters = [...new Set(checks.map((c) => c.chapter))];
  const bodies: Readonly<Record<string, string>> = {
    round: `<p>${report.proposals.length} suites were proposed, more than the budget could pay. Members of three labs voted; the Method of Equal Shares decided, in exact arithmetic.</p>
${table(
  ['Adopted', 'GPU-seconds', 'Why'],
  report.round.result.winners.map((w) => [w.title, w.gpuSeconds, w.reason]),
)}${table(
  ['Not adopted', 'Why'],
  report.round.result.losers.map((l) => [l.title, l.reason]),
)}`,
    Training: `<p>${report.training.jobs.length} models were trained in ${Math.round(report.training.seconds)} seconds on two clusters. In the middle, the agent of ${escapeHtml(
      fault.clusterName,
    )} was killed with everything it ran. Its job went on elsewhere from step ${fault.resumedFromStep}, ${fault.recoverySeconds.toFixed(1)} seconds later.</p>
${table(
  ['Model', 'Cluster', 'Attempts', 'GPU-seconds'],
  report.training.jobs.map((j) => [j.name, j.clusterName, j.attempts, j.gpuSecondsUsed]),
)}`,
    catalogue: `<p>The model that was killed and resumed, and the same model trained without disturbance:</p>${table(
      ['Run', 'SHA-256 of the weights'],
      [
        ['killed and resumed', report.exactRestart.interrupted],
        ['undisturbed', report.exactRestart.undisturbed],
      ],
    )}`,
    Use: table(
      ['Unit', 'Granted', 'Used', 'Available'],
      report.use.balances.map((b) => [b.unit, b.granted, b.used, b.available]),
    ),
    study: `<figure role="img" aria-label="Held-out loss against size, and head scores against training step">${figureSvg.replace(/^<\?xml[^>]*>\s*/, '')}</figure>
${table(
  ['Model', 'Parameters', 'Language', 'Seed', 'Bits per byte', 'Previous-token', 'Induction'],
  report.study.table.map((r) => [
    r.model,
    r.parameters,
    r.language,
    r.seed,
    r.bitsPerByte,
    r.previousToken,
    r.induction,
  ]),
)}<p class="lead">Bits per byte on the held-out text of the model's own language; scores of the best head of the last revision. ${report.study.revisions} revisions were evaluated.</p>`,
    Books: `${table(
      ['Unit', 'Issued', 'Available', 'Held', 'Used'],
      report.books.totals.map((t) => [t.unit, t.issued, t.available, t.held, t.used]),
    )}<p>One chain of ids, from the ballot to the figure:</p><ol class="chain">${report.chain
      .map(({ what, id }) => `<li>${escapeHtml(what)}: <code>${escapeHtml(id)}</code></li>`)
      .join('')}</ol>`,
  };
  const bodyOf = (chapter: string): string =>
    Object.entries(bodies).find(([word]) => chapter.includes(word))?.[1] ?? '';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Beamtime: the demo, run ${escapeHtml(report.run)}</title><style>${style}</style></head>
<body><h1>From a ballot to a figure</h1><p class="lead">One life cycle of a Beamtime consortium on one machine: run ${escapeHtml(report.run)}, ${Math.round(report.seconds)} seconds, ${checks.length} checks.</p>
${chapters.map((chapter) => `<section><h2>${escapeHtml(chapter)}</h2>${bodyOf(chapter)}${checkList(chapter)}</section>`).join('\n')}
</body></html>
`;
}
