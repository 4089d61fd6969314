import { canonicalText } from './canonical-text.js';
import type { TallyCertificate } from './certificate.js';
import {
  check,
  endowmentsAfter,
  exactText,
  largest,
  least,
  type ReadProject as Project,
  type ReadPurchase as Purchase,
  readCertificate,
  readOutcome,
  readPayments,
  sign,
  type Verdict,
  verdictOf,
  whole,
} from './read-certificate.js';

/**
 * Checks a certificate without running the rule, in time linear in voters × winners: who paid what, that nothing
 * better was passed over, and why each loser lost. It shares no code with the rules, on purpose.
 */
export function verifyCertificate(certificate: TallyCertificate): Verdict {
  return verdictOf(() => new Audit(certificate).run());
}

type Due = (has: bigint, score: bigint, r: number) => bigint;
type Standing = (project: Project, bought: Project) => number;

class Audit {
  private readonly ballots: ReturnType<typeof readCertificate>;
  private readonly open = new Map<string, Project>();
  private readonly reasons = new Map<string, object>();
  private readonly threshold: bigint;
  private pot: bigint[] = [];
  /** Payments are in 1/grain of the unit of money. */
  private grain = 1n;
  /** What a unit of weight of each group can pay in each budget; for Phragmén, at time 0. */
  private left: bigint[][] = [];
  /** Whether what does not fit is passed over. */
  private fitting = false;

  constructor(private readonly paper: TallyCertificate) {
    this.ballots = readCertificate(paper);
    this.threshold = whole(paper.rule.threshold);
  }

  run(): void {
    const { rule, losers, raises, overrun, stop, units } = this.paper;
    const { shared, rest, second, add1 } = readOutcome(this.paper);
    if (overrun.length > 0) {
      this.start(raises + 1, units.overrunGrain);
      for (const purchase of overrun) {
        check(this.inBudget(), 'the overrun goes on beyond the budget');
        this.take(this.share(purchase));
      }
      check(!this.inBudget(), 'the overrun is within the budget');
    }
    this.start(raises, units.grain);
    for (const winner of shared) this.take(this.share(winner));
    check(!add1 || overrun.length > 0 || this.open.size === 0, 'the endowments could be raised further');
    this.fitting = rule.name === 'equal-shares' || rule.skip;
    for (const item of rest) {
      const bought = second === 'phragmen' ? this.save(item) : this.vote(item);
      check(this.fits(bought) === (item.by !== undefined), `${bought.id} fits, or it does not`);
      if (item.by) this.take(bought);
    }
    check(this.inBudget(), 'the winners cost more than the budget');
    this.explain(second, stop[0]?.project);
    for (const { project, reason } of losers) {
      const found = this.reasons.get(project);
      check(canonicalText(reason) === canonicalText(found), `${project} lost for another reason`);
    }
  }

  /** Everything is open that has support; everyone has the endowment after so many raises. */
  private start(raises: number, grain: string): void {
    this.grain = whole(grain);
    this.pot = [...this.ballots.budgets];
    for (const [id, project] of this.ballots.projects) {
      this.open.set(id, project);
      if (project.weight === 0n) this.lose(project, { code: 'unsupported' });
      else if (project.total < this.threshold) this.lose(project, { code: 'below_threshold' });
    }
    const given = endowmentsAfter(this.paper, this.ballots, raises, this.grain);
    this.left = given.map((amount) => this.paper.groups.map(() => amount));
    for (const project of this.ballots.projects.values())
      project.owned = given.map((own) => own * project.weight);
  }

  private readonly lose = (project: Project, reason: object): void => {
    this.open.delete(project.id);
    this.reasons.set(project.id, reason);
  };
  private readonly inBudget = (): boolean => this.pot.every((left) => left >= 0n);
  private readonly fits = (p: Project): boolean => p.costs.every((cost, r) => cost <= (this.pot[r] ?? 0n));
  private readonly due = (p: Project, r: number): bigint => (p.costs[r] as bigint) * this.grain;

  /** Checks that the item is the first of what is open; `standing` is above 0 for better, 0 for level with it. */
  private choose({ project }: Purchase, standing: Standing): Project {
    const bought = this.open.get(project);
    check(bought !== undefined && standing(bought, bought) === 0, `${project} is not bought at its price`);
    for (const rival of this.open.values()) {
      if (rival === bought || (this.fitting && !this.fits(rival))) continue;
      const tie = sign(bought.size - rival.size) || sign(rival.weight - bought.weight);
      const before = standing(rival, bought) || tie || (bought.lot < rival.lot ? -1 : 1);
      check(before < 0, `${rival.id} comes before ${bought.id}`);
    }
    return bought;
  }

  /** Charges the supporters, and checks that this is what the certificate says they paid. */
  private charge(item: Purchase, bought: Project, due: Due): Project {
    const { id, support } = bought;
    const paid = item.payments && readPayments(item.payments);
    check(!paid || paid.size === support.length, `those who support ${id} are not those who pay`);
    for (const { group, weight, score } of support) {
      for (const [r, purse] of this.left.entries()) {
        const amount = due(purse[group] as bigint, score, r);
        check(!paid || paid.get(group)?.[r] === amount, `group ${group} owes another amount for ${id}`);
        purse[group] = (purse[group] as bigint) - amount;
        for (const { owned } of this.ballots.ballots[group] ?? [])
          owned[r] = (owned[r] ?? 0n) - weight * amount;
      }
    }
    return bought;
  }

  private take(bought: Project): void {
    this.open.delete(bought.id);
    this.pot = this.pot.map((left, r) => left - (bought.costs[r] as bigint));
    for (const other of this.open.values()) {
      if (other.variants === undefined || other.variants !== bought.variants) continue;
      this.lose(other, { code: 'variant', winner: bought.id });
    }
  }

  /** By Equal Shares: nothing open could be paid for at the same price for its utility, or a lower one. */
  private share(item: Purchase): Project {
    const [{ rule }, { others }] = [this.paper, this.ballots];
    const byCost = rule.name === 'equal-shares' && rule.utility === 'cost';
    const prices = others.map((_, r) => whole(item.prices[r]));
    const level = largest(prices.map((price, r) => price * (others[r] as bigint)));
    const bought = this.choose(item, (p, { id, size }) => {
      if (p.id === id) return prices.every((price, r) => this.covers(p, r, price, 1n) === 0) ? 0 : -1;
      if (byCost && p.size === 0n) return sign(level);
      const [rate, by] = byCost ? [level * p.size, size || 1n] : [level, 1n];
      return Math.min(...others.map((other, r) => this.covers(p, r, rate, by * other)));
    });
    return this.charge(item, bought, (has, score, r) => least(has, (prices[r] as bigint) * score));
  }

  /** Whether price/by per score pays more than the cost (1), just the cost (0), or less (−1). */
  private covers(project: Project, r: number, price: bigint, by: bigint): number {
    const [cost, purse] = [this.due(project, r) * by, this.left[r] ?? []];
    if (price * project.total < cost || (project.owned[r] ?? 0n) * by < cost) return -1;
    let [inFull, inPart, seen, least] = [0n, 0n, 0n, 0n];
    for (const { group, weight, score, points } of project.support) {
      if (score !== seen) [seen, least] = [score, (price * score + by - 1n) / by];
      const has = purse[group] as bigint;
      if (has >= least) inFull += points;
      else inPart += weight * has;
    }
    const paid = price * inFull + inPart * by;
    return paid < cost ? -1 : paid === cost && inFull > 0n ? 0 : 1;
  }

  /** By Phragmén: at this time its supporters own its cost together, and no others do. */
  private save(item: Purchase): Project {
    const time = whole(item.prices[0]);
    const bought = this.choose(item, (p) => sign(p.weight * time + (p.owned[0] ?? 0n) - this.due(p, 0)));
    return this.charge(item, bought, (has) => time + has);
  }

  /** By votes or points, or by votes per cost. */
  private vote(item: Purchase): Project {
    const { rule } = this.paper;
    const perCost = rule.name === 'greedy' && rule.utility === 'cardinality';
    return this.choose(item, (p, q) =>
      sign(perCost ? p.total * q.size - q.total * p.size : p.total - q.total),
    );
  }

  private explain(second: string, stoppedBy: string | undefined): void {
    check(this.fitting || stoppedBy !== undefined || this.open.size === 0, 'the count stopped early');
    for (const p of this.open.values()) {
      const short = p.owned.some((sum, r) => sum < this.due(p, r));
      check(second === 'none' ? short : stoppedBy !== undefined || !this.fits(p), `${p.id} could be bought`);
      const had = p.owned.map((sum) => exactText(sum, this.grain));
      if (second === 'none') this.lose(p, { code: 'unaffordable', left: had });
      else if (stoppedBy && p.id !== stoppedBy) this.lose(p, { code: 'after_stop', stoppedBy });
      else this.lose(p, { code: 'no_room', left: this.pot.map(String) });
    }
  }
}
