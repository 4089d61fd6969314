import { canonicalText } from './canonical-text.js';
import type { CertifiedPrice, CertifiedWinner, TallyCertificate } from './certificate.js';
import {
  CertificateFault,
  check,
  endowmentAfter,
  largest,
  type ReadProject as Project,
  readCertificate,
  whole,
} from './read-certificate.js';

export type Verdict = { readonly valid: true } | { readonly valid: false; readonly reason: string };
/** A winner with its payments; or a price only, in the overrun and at the stop. */
type Purchase = CertifiedPrice & Partial<CertifiedWinner>;

/**
 * Checks a certificate without running the rule, in time linear in voters × winners: who paid what, that nothing
 * better was passed over, and why each loser lost. It shares no code with the rules, on purpose.
 */
export function verifyCertificate(certificate: TallyCertificate): Verdict {
  try {
    new Audit(certificate).run();
    return { valid: true };
  } catch (error) {
    const reason = error instanceof CertificateFault ? error.message : 'the certificate is malformed';
    return { valid: false, reason };
  }
}

const sign = (n: bigint): number => (n > 0n ? 1 : n < 0n ? -1 : 0);
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

class Audit {
  private readonly ballots: ReturnType<typeof readCertificate>;
  private readonly open = new Map<string, Project>();
  private readonly reasons = new Map<string, object>();
  private pot: bigint[] = [];
  /** Payments are in 1/grain of the unit of money. */
  private grain = 1n;
  /** What a unit of weight of each group can pay in each budget; for Phragmén, at time 0. */
  private left: bigint[][] = [];

  /** Whether what does not fit is passed over. */
  private readonly skips: boolean;

  constructor(private readonly paper: TallyCertificate) {
    this.ballots = readCertificate(paper);
    this.skips = paper.rule.name === 'equal-shares' || paper.rule.skip;
  }

  run(): void {
    const { rule, winners, losers, raises, endowment, overrun, stop, units } = this.paper;
    const listed = [...winners, ...losers].map(({ project }) => project);
    const once = new Set(listed).size === listed.length && listed.length === this.ballots.projects.size;
    check(once, 'winners and losers are not all projects, each once');
    const shared = winners.filter(({ by }) => by === 'equal-shares');
    const completion = rule.name === 'equal-shares' ? rule.completion : rule.name;
    const add1 = completion === 'add1' || completion === 'add1u';
    const second = completion === 'add1u' ? 'greedy' : completion;
    const inOrder = winners.every(({ by }, k) => by === (k < shared.length ? 'equal-shares' : second));
    check(
      inOrder && (shared.length === 0 || rule.name === 'equal-shares'),
      'a winner was chosen by another rule',
    );
    check(
      raises === 0 || (add1 && Number.isSafeInteger(raises) && raises > 0),
      'the raises do not fit the rule',
    );
    check(add1 || overrun.length === 0, 'only Add1 has an overrun');
    if (overrun.length > 0) {
      this.start(raises + 1, units.overrunGrain);
      for (const purchase of overrun) {
        check(this.inBudget(), 'the overrun goes on beyond the budget');
        this.share(purchase);
      }
      check(!this.inBudget(), 'the overrun is within the budget');
    }
    this.start(raises, units.grain);
    const given = rule.name === 'equal-shares' ? this.left.map(([first]) => `${first}`) : [];
    check(canonicalText(endowment) === canonicalText(given), 'the endowment is not the share of the budget');
    for (const winner of shared) this.share(winner);
    check(!add1 || overrun.length > 0 || this.open.size === 0, 'the endowments could be raised further');
    for (const item of [...winners.slice(shared.length), ...stop]) {
      if (second === 'phragmen') this.save(item);
      else this.vote(item);
    }
    check(this.inBudget(), 'the winners cost more than the budget');
    this.explain(completion === 'add1' || completion === 'none', stop[0]?.project);
    for (const { project, reason } of losers) {
      const given = canonicalText(this.reasons.get(project));
      check(canonicalText(reason) === given, `${project} lost for another reason`);
    }
  }

  /** Everything is open that has support; everyone has the endowment after so many raises. */
  private start(raises: number, grain: string): void {
    const { rule, groups } = this.paper;
    const { projects, budgets } = this.ballots;
    this.grain = whole(grain);
    this.pot = [...budgets];
    this.reasons.clear();
    for (const [id, project] of projects) {
      this.open.set(id, project);
      const below = rule.name === 'greedy' && project.total < whole(rule.threshold);
      if (project.weight === 0n) this.lose(project, { code: 'unsupported' });
      else if (below) this.lose(project, { code: 'below_threshold' });
    }
    this.left = endowmentAfter(this.paper, this.ballots, raises, this.grain).map((given) =>
      groups.map(() => given),
    );
  }

  private named({ project }: Purchase): Project {
    const named = this.open.get(project);
    check(named !== undefined, `${project} was not to be had`);
    return named;
  }

  private readonly lose = (project: Project, reason: object): void => {
    this.open.delete(project.id);
    this.reasons.set(project.id, reason);
  };
  private readonly inBudget = (): boolean => this.pot.every((left) => left >= 0n);
  private readonly fits = (p: Project): boolean =>
    p.costs.every((cost, r) => cost <= (this.pot[r] as bigint));
  private readonly due = (p: Project, r: number): bigint => (p.costs[r] as bigint) * this.grain;

  /** Checks that the project is the first of what is open; `standing` is above 0 for better, 0 for level. */
  private choose(bought: Project, fitting: boolean, standing: (project: Project) => number): void {
    check(standing(bought) === 0, `${bought.id} is not paid for exactly`);
    for (const rival of this.open.values()) {
      if (rival === bought || (fitting && !this.fits(rival))) continue;
      const tie = sign(bought.size - rival.size) || sign(rival.weight - bought.weight);
      const before = standing(rival) || tie || (bought.lot < rival.lot ? -1 : 1);
      check(before < 0, `${rival.id} comes before ${bought.id}`);
    }
  }

  /** Charges the supporters, and checks that this is what the certificate says they paid. */
  private charge(
    item: Purchase,
    { id, support }: Project,
    due: (has: bigint, score: bigint, r: number) => bigint,
  ) {
    const paid = new Map<number, readonly bigint[]>();
    for (const { groups, amounts } of item.payments ?? []) {
      const exact = amounts.map(whole);
      for (const group of groups) check(paid.size < paid.set(group, exact).size, `group ${group} pays twice`);
    }
    const stated = item.payments !== undefined;
    check(!stated || paid.size === support.size, `not all who support ${id} pay for it, or others do`);
    for (const [group, { score }] of support) {
      for (const [r, purse] of this.left.entries()) {
        const amount = due(purse[group] as bigint, score, r);
        check(!stated || paid.get(group)?.[r] === amount, `group ${group} owes another amount for ${id}`);
        purse[group] = (purse[group] as bigint) - amount;
      }
    }
  }

  private settle(item: Purchase, bought: Project): void {
    check(
      this.fits(bought) === (item.by !== undefined),
      `${bought.id} stopped the count, or was bought, wrongly`,
    );
    if (item.by) this.take(bought);
  }

  private take(bought: Project): void {
    this.open.delete(bought.id);
    this.pot = this.pot.map((left, r) => left - (bought.costs[r] as bigint));
    for (const other of this.open.values()) {
      const variant = other.variants !== undefined && other.variants === bought.variants;
      if (variant) this.lose(other, { code: 'variant', winner: bought.id });
    }
  }

  /** By Equal Shares: nothing open could be paid for at the same price for its utility, or a lower one. */
  private share(item: Purchase): void {
    const { rule } = this.paper;
    const bought = this.named(item);
    const { others } = this.ballots;
    const byCost = rule.name === 'equal-shares' && rule.utility === 'cost';
    const prices = this.pot.map((_, r) => whole(item.prices[r]));
    const level = largest(prices.map((price, r) => price * (others[r] as bigint)));
    this.choose(bought, false, (p) => {
      if (p === bought) return prices.every((price, r) => this.covers(p, r, price, 1n) === 0) ? 0 : -1;
      if (byCost && p.size === 0n) return sign(level);
      const [rate, by] = byCost ? [level * p.size, bought.size || 1n] : [level, 1n];
      return Math.min(...prices.map((_, r) => this.covers(p, r, rate, by * (others[r] as bigint))));
    });
    this.charge(item, bought, (has, score, r) => least(has, (prices[r] as bigint) * score));
    this.take(bought);
  }

  /** Whether price/by per score pays more than the cost (1), just the cost (0), or less (−1). */
  private covers(project: Project, r: number, price: bigint, by: bigint): number {
    const cost = this.due(project, r) * by;
    if (price * project.total < cost) return -1;
    let [paid, inFull] = [0n, false];
    for (const [group, { weight, score }] of project.support) {
      const [has, due] = [((this.left[r] as bigint[])[group] as bigint) * by, price * score];
      inFull ||= has >= due;
      paid += weight * least(has, due);
    }
    return paid < cost ? -1 : paid === cost && inFull ? 0 : 1;
  }

  /** By Phragmén: at this time its supporters own its cost together, and no others do. */
  private save(item: Purchase): void {
    const bought = this.named(item);
    const [time, [purse = []]] = [whole(item.prices[0]), this.left];
    this.choose(bought, this.skips, (p) => {
      let saved = -this.due(p, 0);
      for (const [group, { weight }] of p.support) saved += weight * (time + (purse[group] as bigint));
      return sign(saved);
    });
    this.charge(item, bought, (has) => time + has);
    this.settle(item, bought);
  }

  /** By votes or points, or by votes per cost. */
  private vote(item: Purchase): void {
    const bought = this.named(item);
    const { rule } = this.paper;
    const perCost = rule.name === 'greedy' && rule.utility === 'cardinality';
    this.choose(bought, this.skips, (p) =>
      perCost ? sign(p.total * bought.size - bought.total * p.size) : sign(p.total - bought.total),
    );
    check((item.payments ?? []).length + item.prices.length === 0, 'nobody pays for what is chosen by votes');
    this.settle(item, bought);
  }

  private explain(bySupporters: boolean, stoppedBy: string | undefined): void {
    check(this.skips || stoppedBy !== undefined || this.open.size === 0, 'the count stopped early');
    for (const p of this.open.values()) {
      const left = this.left.map((purse) => {
        let sum = 0n;
        for (const [group, { weight }] of p.support) sum += weight * (purse[group] as bigint);
        return sum;
      });
      const short = bySupporters ? left.some((sum, r) => sum < this.due(p, r)) : stoppedBy || !this.fits(p);
      check(Boolean(short), `${p.id} could still be bought`);
      if (bySupporters) this.lose(p, { code: 'unaffordable', left: left.map(String) });
      else if (stoppedBy && p.id !== stoppedBy) this.lose(p, { code: 'after_stop', stoppedBy });
      else this.lose(p, { code: 'no_room', left: this.pot.map(String) });
    }
  }
}
