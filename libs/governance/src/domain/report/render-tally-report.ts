import type { TallyCertificate } from '../tally/certificate.js';
import type { Counterfactual } from '../tally/counterfactuals.js';
import { amountOf, type ExplainedTally, explainTally, paidBy } from '../tally/explain-tally.js';
import { toNumber } from '../tally/rational.js';
import type { TallyResult } from '../tally/tally.js';
import { asHtml, countColumns, dividedBar, htmlTable, partBar, reportStyle } from './html.js';

/** With more voters the page says how many paid how much, and the certificate who. */
const VOTERS_NAMED_LIMIT = 150;

export interface ReportOptions {
  /** What to call voters; their ids when absent. */
  readonly voterLabels?: ReadonlyMap<string, string>;
  /** How to say an amount of a budget: GPU-seconds as hours, for one. */
  readonly amountText?: (amount: number, resource: string) => string;
}

/**
 * A tally as one page of HTML with nothing outside itself: who got what, what each paid, why each loser lost, and what
 * would have won under the other rules.
 */
export function renderTallyReport(
  result: TallyResult,
  others: readonly Counterfactual[],
  options: ReportOptions = {},
): string {
  const title = asHtml(result.certificate.title || 'Result of the vote');
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
${renderTallySections(result, others, options)}
</body>
</html>
`;
}

/** The same without a page around it, for one that says more. */
export function renderTallySections(
  result: TallyResult,
  others: readonly Counterfactual[],
  options: ReportOptions = {},
): string {
  return new TallyPage(result, others, options).sections();
}

class TallyPage {
  private readonly told: ExplainedTally;
  private readonly paper: TallyCertificate;
  private readonly names: ReadonlyMap<string, string>;

  constructor(
    private readonly result: TallyResult,
    private readonly others: readonly Counterfactual[],
    private readonly options: ReportOptions,
  ) {
    this.paper = result.certificate;
    this.told = explainTally(this.paper, options.amountText);
    this.names = new Map(this.paper.projects.map(({ id, name }) => [id, name || id]));
  }

  sections(): string {
    return [
      this.summary(),
      this.winners(),
      this.losers(),
      this.otherRules(),
      this.ties(),
      this.payments(),
      this.checking(),
    ]
      .filter((section) => section !== '')
      .join('\n');
  }

  private summary(): string {
    const { winners, losers, voters, votersByWinners, rule } = this.told;
    const nothing = votersByWinners[0] ?? 0;
    const lead =
      `${winners.length} of ${winners.length + losers.length} proposals won. ` +
      `${voters.toLocaleString('en')} voters cast a ballot; ${percentOf(voters - nothing, voters)} of them support at least one winner.`;
    const bars = this.paper.budgets.map(({ resource, amount }, r) => {
      const parts = this.paper.winners.map(({ project }) => ({
        label: `${this.names.get(project)}: ${this.costText(project, r)}`,
        size: this.costOf(project, r),
      }));
      const left = this.money(r, amount) - parts.reduce((sum, { size }) => sum + size, 0);
      const says = `${this.amount(this.money(r, amount) - left, r)} of ${this.amount(this.money(r, amount), r)} given out, ${this.amount(left, r)} left`;
      const segments = [
        ...parts,
        { label: `Left: ${this.amount(left, r)}`, size: Math.max(0, left), rest: true },
      ];
      const name = resource === 'any' ? 'The budget' : resource;
      return `<p>${asHtml(name)}: ${asHtml(says)}</p>${dividedBar(segments, says)}`;
    });
    return `<p class="lead">${asHtml(lead)}</p><p>${asHtml(rule)}.</p>${bars.join('\n')}`;
  }

  private winners(): string {
    const rows = this.told.winners.map((winner, place) => [
      `${place + 1}`,
      this.title(winner.project),
      asHtml(this.costsText(winner.project)),
      `${winner.supporters.toLocaleString('en')}<br>${partBar(winner.supporters, this.told.voters, `${percentOf(winner.supporters, this.told.voters)} of voters`)}`,
      asHtml(this.paidSentence(place)),
    ]);
    const columns = [
      { title: '', number: true },
      { title: 'Proposal' },
      { title: 'Cost', number: true },
      { title: 'Supporters' },
      { title: 'Who paid what' },
    ];
    if (rows.length === 0) return '<h2>Who got what</h2><p>Nothing won.</p>';
    return `<h2>Who got what</h2><div class="scroll">${htmlTable('In the order in which they were chosen', columns, rows)}</div>`;
  }

  /** How the supporters of a winner shared its cost, in a sentence. */
  private paidSentence(place: number): string {
    const winner = this.paper.winners[place];
    const payments = this.told.winners[place]?.payments ?? [];
    if (!winner || payments.length === 0) return 'Chosen by votes from what was left; nobody was charged.';
    const [most, ...less] = [...winner.payments].sort((a, b) => this.paid(b.amounts) - this.paid(a.amounts));
    const per = this.weighted() ? ' per unit of weight' : ' each';
    const parts = [`${this.votersIn(most?.groups ?? [])} paid ${this.paidText(most?.amounts ?? [])}${per}`];
    const none = less.filter(({ amounts }) => this.paid(amounts) === 0).flatMap(({ groups }) => groups);
    if (this.scored()) {
      const some = this.told.winners[place]?.supporters ?? 0;
      const unit = this.weighted() ? ' per unit of weight' : '';
      return `${some - this.votersIn(none)} paid in proportion to their points, at most ${this.paidText(most?.amounts ?? [])}${unit}`;
    }
    const all = less.filter(({ amounts }) => this.paid(amounts) > 0).flatMap(({ groups }) => groups);
    if (all.length > 0) parts.push(`${this.votersIn(all)} gave the less that they had left`);
    if (none.length > 0) parts.push(`${this.votersIn(none)} had nothing left`);
    return parts.join('; ');
  }

  private payments(): string {
    const { endowment, raises, voters, votersByWinners } = this.told;
    const counts = votersByWinners.map((count, won) => ({ name: `${won}`, count }));
    const chart = `<p>How many winners each voter supports:</p>${countColumns(counts, 'Voters by the number of winners they support')}`;
    if (endowment.length === 0) return `<h2>How voters fared</h2>${chart}`;
    const given = this.paper.budgets
      .map((_, r) => this.amount(this.share(r, this.paper.endowment), r))
      .join(' and ');
    const raised =
      raises === 0 ? '' : ', after it was raised as long as the winners stayed within the budget';
    const intro = `<p>Every voter had the same to spend${this.weighted() ? ' per unit of weight' : ''}: ${asHtml(given)}${raised}. Supporters bought a proposal together once they could pay for it, each as much as the others unless that was more than they had left.</p>`;
    const table =
      voters <= VOTERS_NAMED_LIMIT
        ? `<details open><summary>What each voter paid for each winner</summary>${this.votersTable()}</details>`
        : '<p class="faint">There are too many voters to name here; the certificate says what each paid.</p>';
    return `<h2>What each paid</h2>${intro}${chart}${table}`;
  }

  private votersTable(): string {
    const paying = this.paper.winners.filter(({ payments }) => payments.length > 0);
    const paidBy = paying.map(({ payments }) => {
      const amounts = new Map<number, readonly string[]>();
      for (const { amounts: paid, groups } of payments) for (const group of groups) amounts.set(group, paid);
      return amounts;
    });
    const rows = this.paper.groups.flatMap(({ voters, weight }, group) => {
      const units = Number(weight) / Number(this.paper.units.weight);
      const cells = paidBy.map((paid) => {
        const amounts = paid.get(group);
        return amounts && this.paid(amounts) > 0
          ? asHtml(this.paidText(amounts, units, this.paper.budgets.length > 1))
          : '';
      });
      return voters.map((voter) => [
        asHtml(this.options.voterLabels?.get(voter) ?? voter),
        ...(this.weighted() ? [`${units}`] : []),
        ...cells,
      ]);
    });
    const columns = [
      { title: 'Voter' },
      ...(this.weighted() ? [{ title: 'Weight', number: true }] : []),
      ...paying.map(({ project }) => ({ title: this.names.get(project) ?? project, number: true })),
    ];
    return `<div class="scroll">${htmlTable(this.paper.budgets.length > 1 ? '' : this.options.amountText ? '' : `In ${this.paper.budgets[0]?.resource ?? ''}`, columns, rows)}</div>`;
  }

  private losers(): string {
    if (this.told.losers.length === 0) return '';
    const rows = this.told.losers.map(({ project, supporters, reason }) => [
      this.title(project),
      asHtml(this.costsText(project)),
      `${supporters.toLocaleString('en')}<br>${partBar(supporters, this.told.voters, `${percentOf(supporters, this.told.voters)} of voters`)}`,
      this.lossHtml(project, reason),
    ]);
    const columns = [
      { title: 'Proposal' },
      { title: 'Cost', number: true },
      { title: 'Supporters' },
      { title: 'Why it lost' },
    ];
    return `<h2>Why the others lost</h2><div class="scroll">${htmlTable('Proposals that did not win', columns, rows)}</div>`;
  }

  private lossHtml(project: string, sentence: string): string {
    const reason = this.paper.losers.find((loser) => loser.project === project)?.reason;
    if (reason?.code !== 'unaffordable' && reason?.code !== 'no_room') return asHtml(sentence);
    const bars = reason.left.map((left, r) => {
      const cost = this.costOf(project, r);
      if (cost === 0) return '';
      const exact = amountOf(this.paper, r, left);
      const has = toNumber(exact.n, exact.d);
      if (has >= cost) return '';
      const whose = reason.code === 'unaffordable' ? 'Its supporters had' : 'Of the budget there was';
      const says = `${whose} ${this.amount(has, r)} left of the ${this.amount(cost, r)} it costs`;
      return `${asHtml(says)}.<br>${partBar(has, cost, `${percentOf(has, cost)} of the cost`)}`;
    });
    return bars.filter((bar) => bar !== '').join('<br>');
  }

  private otherRules(): string {
    if (this.others.length === 0) return '';
    const rules = [
      {
        label: 'This vote',
        winners: this.result.winners,
        votersWithNothing: this.told.votersByWinners[0] ?? 0,
      },
      ...this.others,
    ];
    const ids = [...new Set(rules.flatMap(({ winners }) => winners))];
    const rows = ids.map((id) => [
      this.title(id),
      ...rules.map(({ winners }) => (winners.includes(id) ? '<span title="wins">✓</span>' : '')),
    ]);
    const nothing = rules.map(({ votersWithNothing }) => percentOf(votersWithNothing, this.told.voters));
    rows.push([
      '<strong>Voters who support no winner</strong>',
      ...nothing.map((share) => `<strong>${share}</strong>`),
    ]);
    const columns = [{ title: 'Proposal' }, ...rules.map(({ label }) => ({ title: label }))];
    return `<h2>What would have won under other rules</h2><div class="scroll">${htmlTable('The same ballots, counted otherwise', columns, rows)}</div>`;
  }

  private ties(): string {
    if (this.result.ties.length === 0) return '';
    const by = {
      cost: 'it is the cheapest',
      supporters: 'it has the most supporters',
      lot: 'the lot drew it',
    };
    const items = this.result.ties.map(({ round, tied, chosen, by: reason }) => {
      const names = tied.map((id) => this.names.get(id) ?? id).join(', ');
      return `<li>For place ${round}, ${asHtml(names)} were level; ${asHtml(this.names.get(chosen) ?? chosen)} went first because ${by[reason]}.</li>`;
    });
    return `<h2>Ties</h2><ul>${items.join('\n')}</ul>`;
  }

  private checking(): string {
    const { sha256, ballotsSha256, seed } = this.paper;
    return `<h2>To check this</h2><p>The certificate of this count names every ballot and every payment. <code>beamtime verify certificate.json</code> checks it without counting again.</p>
<p><small>Certificate SHA-256 <code>${asHtml(sha256)}</code><br>Ballots SHA-256 <code>${asHtml(ballotsSha256)}</code><br>Seed of the lot <code>${asHtml(seed)}</code></small></p>`;
  }

  private title(project: string): string {
    const name = this.names.get(project) ?? project;
    return name === project ? asHtml(project) : `${asHtml(name)} <small>${asHtml(project)}</small>`;
  }

  private weighted(): boolean {
    return new Set(this.paper.groups.map(({ weight }) => weight)).size > 1;
  }

  private scored(): boolean {
    const { groups, units } = this.paper;
    return groups.some(({ scores }) => scores.some((score) => score !== units.score));
  }

  private votersIn(groups: readonly number[]): number {
    return groups.reduce((sum, group) => sum + (this.paper.groups[group]?.voters.length ?? 0), 0);
  }

  /** Amounts as doubles: this page shows, the certificate decides. */
  private money(r: number, amount: string): number {
    return Number(amount) / Number(this.paper.units.money[r] ?? '1');
  }

  private share(r: number, amount: string): number {
    const exact = paidBy(this.paper, r, amount);
    return toNumber(exact.n, exact.d);
  }

  private costOf(project: string, r: number): number {
    return this.money(r, this.paper.projects.find(({ id }) => id === project)?.costs[r] ?? '0');
  }

  private costText(project: string, r: number): string {
    return this.amount(this.costOf(project, r), r);
  }

  private costsText(project: string): string {
    const costs = this.paper.budgets.flatMap((_, r) =>
      this.costOf(project, r) === 0 ? [] : [this.costText(project, r)],
    );
    return costs.join(' + ') || '0';
  }

  private paid(amounts: readonly string[]): number {
    return amounts.reduce((sum, amount, r) => sum + this.share(r, amount), 0);
  }

  private paidText(amounts: readonly string[], units = 1, named = true): string {
    const parts = amounts.flatMap((amount, r) => {
      const value = this.share(r, amount) * units;
      if (value === 0) return [];
      return [named || this.options.amountText ? this.amount(value, r) : numberText(value)];
    });
    return parts.join(' + ') || '0';
  }

  private amount(value: number, r: number): string {
    const resource = this.paper.budgets[r]?.resource ?? '';
    if (this.options.amountText) return this.options.amountText(value, resource);
    return `${numberText(value)} ${resource}`.trim();
  }
}

function numberText(value: number): string {
  const places = Math.abs(value) >= 1_000 || Number.isInteger(value) ? 0 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: places });
}

function percentOf(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((100 * part) / whole).toFixed(1)} %`;
}
