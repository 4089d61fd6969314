import type { RoundResult } from '@beamtime/contracts';
import { hoursText } from '../domain/count-outcome.js';
import type { TallyCertificate } from '../domain/tally/certificate.js';
import { amountOf } from '../domain/tally/explain-tally.js';
import { multiply, rational, toNumber } from '../domain/tally/rational.js';

/** With more voters the page says how many paid, not who. */
const votersNamedAtMost = 200;

/** The result of a round as one page without scripts or links that a delegate understands and that opens from disk. */
export function renderRound(
  result: RoundResult,
  paid?: { readonly certificate: TallyCertificate; readonly labels: ReadonlyMap<string, string> },
): string {
  const titles = new Map([...result.winners, ...result.losers].map((one) => [one.proposalId, one.title]));
  const title = asText(result.title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ccc; }
code { font-size: .85em; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>${title}</h1>
<p>${asText(result.summary)}.</p>
${tableOf(
  'Adopted',
  ['', 'Proposal', 'Cost', 'Why'],
  result.winners.map((one) => [
    `${one.order}${one.how === 'flagship' ? ' (flagship)' : ''}`,
    one.title,
    one.gpuSeconds === null ? '' : hoursText(one.gpuSeconds),
    one.reason,
  ]),
)}
${tableOf(
  'Not adopted',
  ['Proposal', 'Why'],
  result.losers.map((one) => [one.title, one.reason]),
)}
${paid === undefined ? '' : paymentsTable(paid.certificate, paid.labels, titles)}
${tableOf(
  'Budgets',
  ['GPU type', 'Pledged', 'Given out'],
  result.budgets.map((one) => [one.gpuType, hoursText(one.gpuSeconds), hoursText(one.spentGpuSeconds)]),
)}
${tableOf(
  'Under other rules would have won',
  ['Rule', 'Proposals'],
  result.alternatives.map((one) => [
    one.rule,
    one.winners.map((id) => titles.get(id) ?? id).join(', ') || 'nothing',
  ]),
)}
<h2>To recount</h2>
<p>Turnout: ${result.turnout.ballots} of ${result.turnout.onRoll} voters. Decided ${asText(result.decidedAt)}.</p>
<p>Seed of the lot <code>${asText(result.seed)}</code>, committed to as <code>${asText(result.seedCommitment)}</code>.</p>
<p>What was frozen when the vote opened has SHA-256 <code>${asText(result.frozenSha256)}</code>,
the certificate <code>${asText(result.certificateSha256 ?? 'none')}</code>.</p>
</body>
</html>
`;
}

/** What each voter paid for each winner; exact in the certificate, in hours here. */
function paymentsTable(
  certificate: TallyCertificate,
  labels: ReadonlyMap<string, string>,
  titles: ReadonlyMap<string, string>,
): string {
  const payers = new Map<string, Map<string, number>>();
  const winners = certificate.winners.filter(({ payments }) => payments.length > 0);
  for (const { project, payments } of winners) {
    for (const { amounts, groups } of payments) {
      for (const group of groups) {
        const { voters, weight } = certificate.groups[group] ?? { voters: [], weight: '0' };
        for (const voter of voters) {
          const purse = payers.get(voter) ?? new Map<string, number>();
          payers.set(voter, purse.set(project, paidBy(certificate, amounts, weight)));
        }
      }
    }
  }
  if (payers.size === 0) return '';
  if (payers.size > votersNamedAtMost) return `<p>${payers.size} voters paid for what they supported.</p>`;
  return tableOf(
    'What each voter paid',
    ['Voter', ...winners.map(({ project }) => titles.get(project) ?? project)],
    [...payers].map(([voter, purse]) => [
      labels.get(voter) ?? voter,
      ...winners.map(({ project }) => {
        const amount = purse.get(project) ?? 0;
        return amount === 0 ? '' : hoursText(amount);
      }),
    ]),
  );
}

/** Over all GPU types; amounts stand per unit of weight, in parts of a GPU-second. */
function paidBy(certificate: TallyCertificate, amounts: readonly string[], weight: string): number {
  return amounts.reduce((sum, amount, type) => {
    const exact = multiply(amountOf(certificate, type, amount), rational(BigInt(weight)));
    return sum + toNumber(exact.n, exact.d);
  }, 0);
}

function tableOf(heading: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const cells = (tag: string, texts: readonly string[]): string =>
    `<tr>${texts.map((text) => `<${tag}>${asText(text)}</${tag}>`).join('')}</tr>`;
  return `<h2>${heading}</h2>
<table>
<thead>${cells('th', head)}</thead>
<tbody>
${rows.map((row) => cells('td', row)).join('\n')}
</tbody>
</table>`;
}

function asText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
