import type { RoundResult } from '@beamtime/contracts';
import { hoursText, type SharedBudget } from '../domain/count-outcome.js';
import { asHtml, htmlTable, reportStyle } from '../domain/report/html.js';
import { renderTallySections } from '../domain/report/render-tally-report.js';

/**
 * The result of a round as one page without scripts or links that a delegate understands and that opens from disk.
 * Where a budget was shared out the page of the tally engine says who paid what and what else would have won.
 */
export function renderRound(
  result: RoundResult,
  voterLabels: ReadonlyMap<string, string>,
  shared?: SharedBudget,
): string {
  const title = asHtml(result.title);
  const several = result.budgets.length > 1;
  const amountText = (gpuSeconds: number, gpuType: string): string =>
    several ? `${hoursText(gpuSeconds)} of ${gpuType}` : hoursText(gpuSeconds);
  const body = shared
    ? flagshipOf(result) + renderTallySections(shared.result, shared.others, { voterLabels, amountText })
    : `<p class="lead">${asHtml(result.summary)}.</p>\n${decisionOf(result)}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${reportStyle}</style>
</head>
<body>
<h1>${title}</h1>
${body}
${recountOf(result)}
</body>
</html>
`;
}

/** The suite that was decided by double majority and paid before the budget was shared out. */
function flagshipOf(result: RoundResult): string {
  const rows = result.winners
    .filter(({ how }) => how === 'flagship')
    .map((one) => [asHtml(one.title), asHtml(hoursText(one.gpuSeconds ?? 0)), asHtml(one.reason)]);
  if (rows.length === 0) return '';
  const columns = [{ title: 'Proposal' }, { title: 'Cost', number: true }, { title: 'Why' }];
  return `<h2>The flagship</h2>${htmlTable('Decided first and paid first; the rest was shared out', columns, rows)}\n`;
}

/** What was adopted and what was not, where no budget was shared out. */
function decisionOf(result: RoundResult): string {
  const columns = [{ title: 'Proposal' }, { title: 'Why' }];
  const table = (heading: string, rows: readonly { title: string; reason: string }[]): string =>
    rows.length === 0
      ? ''
      : `<h2>${heading}</h2>${htmlTable(
          '',
          columns,
          rows.map(({ title, reason }) => [asHtml(title), asHtml(reason)]),
        )}`;
  return `${table('Adopted', result.winners)}\n${table('Not adopted', result.losers)}`;
}

function recountOf(result: RoundResult): string {
  return `<h2>To recount</h2>
<p>${result.turnout.ballots} of ${result.turnout.onRoll} voters on the roll cast a ballot. Decided ${asHtml(result.decidedAt)}.</p>
<p><small>Seed of the lot <code>${asHtml(result.seed)}</code>, committed to as <code>${asHtml(result.seedCommitment)}</code><br>
What was frozen when the vote opened, SHA-256 <code>${asHtml(result.frozenSha256)}</code><br>
The certificate as published, SHA-256 <code>${asHtml(result.certificateSha256 ?? 'none')}</code></small></p>`;
}
