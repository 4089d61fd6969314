import { explainTally, type TallyResult } from '@beamtime/governance/tally';
import { formatTable } from '../core/format-table.js';

/** Longest name shown in a table. */
const NAME_CHARACTERS = 60;

/** A tally as a person reads it in a terminal. */
export function describeTally(result: TallyResult): string {
  const told = explainTally(result.certificate);
  const nothing = told.votersByWinners[0] ?? 0;
  const percent = ((100 * nothing) / told.voters).toFixed(1);
  const parts = [
    told.title,
    told.rule,
    '',
    formatTable(
      ['#', 'won', 'name', 'cost', 'votes', 'paid at most'],
      told.winners.map((one, place) => [
        place + 1,
        one.project,
        shortened(one.name),
        one.costs.join(' + '),
        one.votes,
        one.payments[0]?.amounts.join(' + '),
      ]),
      'Nothing won',
    ),
  ];
  if (told.losers.length > 0) {
    const rows = told.losers.map((one) => [
      one.project,
      shortened(one.name),
      one.costs.join(' + '),
      one.votes,
      one.reason,
    ]);
    parts.push('', formatTable(['lost', 'name', 'cost', 'votes', 'why'], rows));
  }
  parts.push('');
  for (const { resource, amount, spent, left } of told.budgets) {
    parts.push(`Budget ${amount} ${resource}: ${spent} spent, ${left} left`);
  }
  if (told.endowment.length > 0)
    parts.push(`Each of ${told.voters} voters had ${told.endowment.join(' + ')} to spend`);
  parts.push(`${nothing} of ${told.voters} voters (${percent} %) support no winner`);
  for (const { round, tied, chosen, by } of result.ties) {
    parts.push(`Tie for place ${round} between ${tied.join(', ')}: ${chosen} first, by ${by}`);
  }
  parts.push(`Certificate sha256 ${result.certificate.sha256}`);
  return parts.join('\n');
}

function shortened(name: string): string {
  return name.length > NAME_CHARACTERS ? `${name.slice(0, NAME_CHARACTERS - 1)}…` : name;
}
