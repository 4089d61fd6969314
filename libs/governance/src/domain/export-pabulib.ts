import type { TallyCertificate } from './tally/certificate.js';
import { moneyText } from './tally/explain-tally.js';
import { decimalText, rational } from './tally/rational.js';

/**
 * A counted vote on one budget in the format of pabulib.org, so that other tools can count it and `beamtime verify`
 * can hold the certificate against it; undefined for several budgets, which the format does not know. Weights stand in
 * a column of their own, which other tools ignore.
 */
export function pabulibOf(certificate: TallyCertificate): string | undefined {
  const [budget, ...others] = certificate.budgets;
  if (budget === undefined || others.length > 0) return undefined;
  const points = certificate.groups.some(({ scores }) =>
    scores.some((score) => score !== certificate.units.score),
  );
  const meta: [string, string][] = [
    ['description', certificate.title],
    ['country', 'Beamtime'],
    ['unit', 'consortium'],
    ['instance', certificate.title],
    ['num_projects', `${certificate.projects.length}`],
    ['num_votes', `${certificate.groups.reduce((sum, { voters }) => sum + voters.length, 0)}`],
    ['budget', moneyText(certificate, 0, budget.amount)],
    ['vote_type', points ? 'scoring' : 'approval'],
    ['rule', ruleName(certificate)],
    ['currency', budget.resource],
    ['seed', certificate.seed],
  ];
  const lines = ['META', 'key;value', ...meta.map(row), 'PROJECTS'];
  lines.push('project_id;cost;name;selected', ...projectRows(certificate));
  lines.push(
    'VOTES',
    points ? 'voter_id;vote;points;weight' : 'voter_id;vote;weight',
    ...voteRows(certificate, points),
  );
  return `${lines.join('\n')}\n`;
}

function ruleName({ rule }: TallyCertificate): string {
  if (rule.name === 'greedy') return 'greedy';
  if (rule.name === 'phragmen') return 'phragmen';
  return rule.completion === 'none' ? 'equalshares' : `equalshares/${rule.completion}`;
}

function projectRows(certificate: TallyCertificate): string[] {
  const won = new Set(certificate.winners.map(({ project }) => project));
  return certificate.projects.map(({ id, name, costs }) =>
    row([id, moneyText(certificate, 0, costs[0] ?? '0'), name, won.has(id) ? '1' : '0']),
  );
}

function voteRows(certificate: TallyCertificate, points: boolean): string[] {
  const { units } = certificate;
  const scaled = (amount: string, unit: string): string =>
    decimalText(rational(BigInt(amount), BigInt(unit)), 12);
  return certificate.groups.flatMap(({ voters, ballot, scores, weight }) =>
    voters.map((voter) =>
      row([
        voter,
        ballot.join(','),
        ...(points ? [scores.map((score) => scaled(score, units.score)).join(',')] : []),
        scaled(weight, units.weight),
      ]),
    ),
  );
}

function row(cells: readonly string[]): string {
  return cells.map((cell) => (/[;"\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(';');
}
