import type { CertifiedWinner, LossReason, TallyCertificate } from './certificate.js';
import { compare, decimalText, multiply, type Rational, rational, toNumber } from './rational.js';

/** A tally in the words and decimals of people: for tables and reports, not for checking. */
export interface ExplainedTally {
  readonly title: string;
  readonly rule: string;
  readonly budgets: readonly ExplainedBudget[];
  readonly voters: number;
  /** What a voter of weight 1 was given of each budget; empty where voters pay nothing. */
  readonly endowment: readonly string[];
  readonly raises: number;
  readonly winners: readonly ExplainedWinner[];
  readonly losers: readonly ExplainedLoser[];
  /** How many voters support so many winners: position 0 counts those who got nothing they voted for. */
  readonly votersByWinners: readonly number[];
}

export interface ExplainedBudget {
  readonly resource: string;
  readonly amount: string;
  readonly spent: string;
  readonly left: string;
}

export interface ExplainedProject {
  readonly project: string;
  readonly name: string;
  /** For each budget. */
  readonly costs: readonly string[];
  readonly supporters: number;
  /** Votes or points, by weight. */
  readonly votes: string;
}

export interface ExplainedWinner extends ExplainedProject {
  readonly by: CertifiedWinner['by'];
  /** Who paid how much, for each budget, per weight 1, the highest first; empty where nobody pays. */
  readonly payments: readonly { readonly voters: number; readonly amounts: readonly string[] }[];
}

export interface ExplainedLoser extends ExplainedProject {
  readonly reason: string;
}

/** How to say an amount of a budget. */
export type AmountText = (amount: number, resource: string) => string;

export function explainTally(certificate: TallyCertificate, amountText?: AmountText): ExplainedTally {
  const support = supportOf(certificate);
  const described = new Map(certificate.projects.map((project) => [project.id, project]));
  const describe = (id: string): ExplainedProject => ({
    project: id,
    name: described.get(id)?.name ?? '',
    costs: (described.get(id)?.costs ?? []).map((cost, r) => moneyText(certificate, r, cost)),
    supporters: support.get(id)?.voters ?? 0,
    votes: decimalText(
      rational(
        support.get(id)?.total ?? 0n,
        BigInt(certificate.units.weight) * BigInt(certificate.units.score),
      ),
    ),
  });
  return {
    title: certificate.title,
    rule: ruleSentence(certificate, amountText),
    budgets: budgetsOf(certificate),
    voters: certificate.groups.reduce((sum, { voters }) => sum + voters.length, 0),
    endowment:
      certificate.rule.name === 'equal-shares'
        ? certificate.budgets.map((_, r) => paidText(certificate, r, certificate.endowment))
        : [],
    raises: certificate.raises,
    winners: certificate.winners.map((winner) => ({
      ...describe(winner.project),
      by: winner.by,
      payments: paymentsOf(certificate, winner),
    })),
    losers: certificate.losers.map(({ project, reason }) => ({
      ...describe(project),
      reason: lossSentence(certificate, project, reason),
    })),
    votersByWinners: votersByWinners(certificate),
  };
}

/** A whole number of the smallest unit of a budget as a decimal. */
export function moneyText(certificate: TallyCertificate, resource: number, amount: string): string {
  return decimalText(rational(BigInt(amount), BigInt(certificate.units.money[resource] ?? '1')));
}

/** So many grains of a budget, in what the budget is counted in. */
export function amountOf(certificate: TallyCertificate, resource: number, grains: string): Rational {
  const { units, budgets } = certificate;
  const budget = BigInt(budgets[resource]?.amount ?? '0');
  return rational(BigInt(grains) * budget, BigInt(units.grains) * BigInt(units.money[resource] ?? '1'));
}

/** What a voter of weight 1 paid, has left or was given of a budget, where this is for a unit of weight. */
export function paidBy(certificate: TallyCertificate, resource: number, grains: string): Rational {
  return multiply(amountOf(certificate, resource, grains), rational(BigInt(certificate.units.weight)));
}

function paidText(certificate: TallyCertificate, resource: number, grains: string): string {
  return decimalText(paidBy(certificate, resource, grains));
}

/** The rule as a delegate would say it. */
export function ruleSentence(certificate: TallyCertificate, amountText?: AmountText): string {
  const { rule, raises, overrun, budgets, units } = certificate;
  const threshold = rule.threshold === '0' ? '' : ' among those that reached the threshold';
  if (rule.name === 'greedy') {
    const order = rule.utility === 'cost' ? 'most votes first' : 'most votes per cost first';
    const then = rule.skip ? 'passing over what no longer fits' : 'up to the first that does not fit';
    return `Greedy: ${order}, ${then}${threshold}`;
  }
  if (rule.name === 'phragmen')
    return `Sequential Phragmén${rule.skip ? ', passing over what does not fit' : ''}${threshold}`;
  const value = rule.utility === 'cost' ? 'support counts by cost' : 'every winner counts the same';
  const increment = rational(BigInt(rule.increment), BigInt(units.money[0] ?? '1'));
  const unit = budgets[0]?.resource ?? '';
  const step = amountText
    ? amountText(toNumber(increment.n, increment.d), unit)
    : `${decimalText(increment)} ${unit}`;
  const times = `${raises} ${raises === 1 ? 'time' : 'times'}`;
  const end =
    overrun.length > 0 ? 'one more would have cost more than there is' : 'then nothing was left to buy';
  const raised = `endowments raised ${times} by ${step}; ${end}`;
  const completion = {
    none: 'not completed',
    add1: raised,
    add1u: `${raised}; the rest filled up by votes`,
    phragmen: 'completed by Phragmén',
  }[rule.completion];
  return `Method of Equal Shares (${value}), ${completion}${threshold}`;
}

/** Why a project lost, as a sentence. */
export function lossSentence(certificate: TallyCertificate, id: string, reason: LossReason): string {
  const nameOf = (other: string) =>
    certificate.projects.find((project) => project.id === other)?.name || other;
  const costs = certificate.projects.find((project) => project.id === id)?.costs ?? [];
  const short = (left: readonly string[]): string =>
    costs
      .flatMap((cost, r) => {
        const has = amountOf(certificate, r, left[r] ?? '0');
        const needed = rational(BigInt(cost), BigInt(certificate.units.money[r] ?? '1'));
        if (compare(has, needed) >= 0) return [];
        return [
          `${decimalText(has)} of ${moneyText(certificate, r, cost)} ${certificate.budgets[r]?.resource ?? ''}`,
        ];
      })
      .join(', and ');
  switch (reason.code) {
    case 'unsupported':
      return 'Nobody supported it.';
    case 'variant':
      return `Another version won: ${nameOf(reason.winner)}.`;
    case 'unaffordable':
      return `Its supporters had only ${short(reason.left)} left together.`;
    case 'no_room':
      return `It did not fit any more: of the budget there was only ${short(reason.left)} left.`;
    case 'below_threshold':
      return 'It did not reach the threshold of votes.';
    case 'after_stop':
      return `The count stopped before it, at ${nameOf(reason.stoppedBy)}, which did not fit.`;
  }
}

function budgetsOf(certificate: TallyCertificate): ExplainedBudget[] {
  const won = new Set(certificate.winners.map(({ project }) => project));
  return certificate.budgets.map(({ resource, amount }, r) => {
    let spent = 0n;
    for (const { id, costs } of certificate.projects) if (won.has(id)) spent += BigInt(costs[r] ?? '0');
    return {
      resource,
      amount: moneyText(certificate, r, amount),
      spent: moneyText(certificate, r, String(spent)),
      left: moneyText(certificate, r, String(BigInt(amount) - spent)),
    };
  });
}

function supportOf({ groups }: TallyCertificate): Map<string, { voters: number; total: bigint }> {
  const support = new Map<string, { voters: number; total: bigint }>();
  for (const { voters, weight, ballot, scores } of groups) {
    for (const [entry, id] of ballot.entries()) {
      const known = support.get(id) ?? { voters: 0, total: 0n };
      known.voters += voters.length;
      known.total += BigInt(weight) * BigInt(voters.length) * BigInt(scores[entry] ?? '0');
      support.set(id, known);
    }
  }
  return support;
}

function paymentsOf(
  certificate: TallyCertificate,
  { payments }: CertifiedWinner,
): ExplainedWinner['payments'] {
  const highest = (amounts: readonly string[]) => amounts.reduce((sum, amount) => sum + BigInt(amount), 0n);
  return [...payments]
    .sort((a, b) => (highest(a.amounts) > highest(b.amounts) ? -1 : 1))
    .map(({ amounts, groups }) => ({
      voters: groups.reduce((sum, group) => sum + (certificate.groups[group]?.voters.length ?? 0), 0),
      amounts: amounts.map((amount, r) => paidText(certificate, r, amount)),
    }));
}

function votersByWinners({ groups, winners }: TallyCertificate): number[] {
  const won = new Set(winners.map(({ project }) => project));
  const counts: number[] = [0];
  for (const { voters, ballot } of groups) {
    const supported = ballot.reduce((sum, id) => sum + (won.has(id) ? 1 : 0), 0);
    while (counts.length <= supported) counts.push(0);
    counts[supported] = (counts[supported] ?? 0) + voters.length;
  }
  return counts;
}
