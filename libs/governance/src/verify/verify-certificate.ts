import { createHash } from 'node:crypto';
import { default as canonicalize } from 'canonicalize';
import { ZodError } from 'zod';
import type { LossReason, TallyCertificate } from '../domain/tally/certificate.js';
import { certificateSchema, type ReadCertificate, type ReadPurchase } from './certificate-schema.js';

export type Verdict = { readonly valid: true } | { readonly valid: false; readonly reason: string };

/**
 * Checks a certificate without running the rule, in time linear in voters × winners: its digests (RFC 8785), who paid
 * what, that nothing better was passed over, and why each loser lost. Whatever stops it is a no. It stands on no other
 * file of ours but the shape of a certificate: no mistake in a rule, or in what rules stand on, is repeated here.
 */
export function verifyCertificate(certificate: TallyCertificate): Verdict {
  try {
    const paper = certificateSchema.parse(certificate);
    const { sha256: seal, groups, ...rest } = certificate;
    check(digest(groups) === paper.ballotsSha256, 'the ballots do not match their digest');
    check(digest(rest) === seal, 'the content does not match its digest');
    audit(paper);
    return { valid: true };
  } catch (error) {
    const [issue] = error instanceof ZodError ? error.issues : [];
    const reason = issue ? `${issue.path.join('.')}: ${issue.message}` : (error as Error).message;
    return { valid: false, reason };
  }
}

function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new Error(reason);
}
const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');
const digest = (content: unknown): string => sha256(canonicalize(content) ?? '');
const largest = (all: readonly bigint[]): bigint => [...all].sort((a, b) => sign(b - a))[0] ?? 0n;
const sign = (n: bigint): number => (n > 0n ? 1 : n < 0n ? -1 : 0);
const exceed = (costs: bigint[], left: bigint[]) => costs.some((cost, r) => cost > at(left, r));
const at = (all: readonly bigint[] | undefined, place: number): bigint => all?.[place] as bigint;

/** Money is in grains, of which every budget has as many, so that all prices compare. */
function audit(paper: ReadCertificate): void {
  const { rule, winners, losers, raises, overrun, stop, units, budgets, endowment } = paper;
  for (const { amount } of budgets)
    check(units.grains % amount === 0n, 'a unit of money has no whole number of grains');
  const shares = rule.name === 'equal-shares';
  const completion = shares ? rule.completion : rule.name;
  const add1 = completion === 'add1' || completion === 'add1u';
  const second = completion === 'add1u' ? 'greedy' : completion === 'add1' ? 'none' : completion;
  const weight = paper.groups.reduce((sum, group) => sum + group.weight * BigInt(group.voters.length), 0n);
  const raise = shares ? rule.increment * (units.grains / (budgets[0]?.amount ?? 1n)) : 0n;
  const given = shares ? units.grains * units.weight + BigInt(raises) * raise * weight : 0n;
  check(given === endowment * units.weight * weight, 'the endowment is another part of the budget');
  check(raise % units.weight === 0n, 'a raise has no whole number of grains');
  check(add1 || raises + overrun.length === 0, 'endowments were raised against the rule');
  if (overrun.length > 0) {
    const beyond = new Replay(paper, endowment + raise / units.weight);
    for (const item of overrun) beyond.buy(item, 'equal-shares');
    check(!beyond.inBudget(), 'the overrun is within the budget');
  }
  const count = new Replay(paper, endowment);
  const shared = shares ? winners.filter(({ by }) => by === 'equal-shares').length : 0;
  for (const item of winners.slice(0, shared)) count.buy(item, 'equal-shares');
  check(!add1 || overrun.length > 0 || count.open.size === 0, 'the endowments could be raised further');
  count.skips = shares || rule.skip;
  for (const item of winners.slice(shared)) count.buy(item, second);
  check(count.inBudget(), 'the winners cost more than the budget');
  const [stopped] = stop.map((item) => count.checkTurn(item, second));
  check((stopped !== undefined) === (!count.skips && count.open.size > 0), 'the count stopped elsewhere');
  for (const { project, reason } of losers) {
    const found = count.reasonFor(project, second, stopped);
    check(canonicalize(reason) === canonicalize(found), `${project} lost for another reason`);
  }
}

/** With costs in grains; the groups that support it stand with the weight of all their members. */
const projectOf = (id: string, costs: bigint[], lot: string, variants: string | undefined) => {
  const support: { readonly group: number; readonly weight: bigint; readonly score: bigint }[] = [];
  return { id, costs, size: largest(costs), lot, variants, support, weight: 0n, total: 0n };
};
type Project = ReturnType<typeof projectOf>;

/** Goes through purchases one by one from equal endowments; `skips`: what does not fit is passed over. */
class Replay {
  private readonly rule: ReadCertificate['rule'];
  private readonly projects = new Map<string, Project>();
  /** What can still win, and what has won of each group of variants. */
  readonly open = new Map<string, Project>();
  private readonly chosen = new Map<string | undefined, string>();
  skips = false;
  private pot: bigint[];
  /** What of each budget a unit of weight of each group has, or by Phragmén had at time 0. */
  private readonly purses: bigint[][];

  constructor({ seed, rule, projects, groups, units, budgets }: ReadCertificate, endowment: bigint) {
    this.rule = rule;
    this.pot = budgets.map(() => units.grains);
    this.purses = budgets.map(() => groups.map(() => endowment));
    for (const { id, costs, exclusiveGroup } of projects) {
      const grains = budgets.map(({ amount }, r) => (units.grains / amount) * at(costs, r));
      this.projects.set(id, projectOf(id, grains, sha256(`beamtime lot\n${seed}\n${id}`), exclusiveGroup));
    }
    for (const [group, { voters, weight: each, ballot, scores }] of groups.entries()) {
      const weight = each * BigInt(voters.length);
      for (const [entry, id] of ballot.entries()) {
        const [project, score] = [this.projects.get(id), at(scores, entry)];
        check(project !== undefined, `group ${group} votes for the unknown ${id}`);
        project.support.push({ group, weight, score });
        project.weight += weight;
        project.total += weight * score;
      }
    }
    for (const [id, project] of this.projects)
      if (project.weight > 0n && project.total >= rule.threshold) this.open.set(id, project);
  }

  inBudget = (): boolean => this.pot.every((left) => left >= 0n);
  buy(item: ReadPurchase, by: string): void {
    const { id, costs, variants } = this.checkTurn(item, by);
    this.pot = this.pot.map((left, r) => left - at(costs, r));
    this.open.delete(id);
    if (variants !== undefined) this.chosen.set(variants, id);
    for (const other of this.open.values()) if (this.chosen.has(other.variants)) this.open.delete(other.id);
  }

  /** Checks that it is the turn of a project, and that its supporters pay for it what is said. */
  checkTurn({ project: id, prices, payments, by: said }: ReadPurchase, by: string): Project {
    const bought = this.open.get(id);
    check(bought !== undefined && this.inBudget(), `${id} is no longer to be had`);
    check((said ?? by) === by, `${id} was chosen by another part of the rule`);
    check(prices.length === (by === 'greedy' ? 0 : this.pot.length), `${id} has not a price in each budget`);
    const exact = prices.every((price, r) => this.covers(bought, by, r, price, 1n) === 0);
    check(exact, `${id} is not bought at its price`);
    for (const rival of this.open.values()) {
      if (rival === bought || (this.skips && exceed(rival.costs, this.pot))) continue;
      const tie = sign(bought.size - rival.size) || sign(rival.weight - bought.weight);
      const order = this.order(rival, bought, by, largest(prices)) || tie;
      check((order || (rival.lot < bought.lot ? 1 : -1)) < 0, `${rival.id} comes before ${id}`);
    }
    const paid = by === 'greedy' ? [] : this.charge(bought, by, prices);
    check(!payments || canonicalize(payments) === canonicalize(paid), `the payments for ${id} are others`);
    return bought;
  }

  /** Above 0 where a rival comes before what is bought at this price, 0 where it is level, below 0 where behind. */
  private order(rival: Project, bought: Project, by: string, price: bigint): number {
    const utility = this.rule.name === by && 'utility' in this.rule ? this.rule.utility : '';
    const perCost = utility === (by === 'greedy' ? 'cardinality' : 'cost');
    const [rate, per] = perCost ? [rival.size, bought.size] : [1n, 1n];
    if (by === 'greedy') return sign(rival.total * per - bought.total * rate);
    return Math.min(...this.pot.map((_, r) => this.covers(rival, by, r, price * rate, per)));
  }

  /** Whether supporters pay more than the cost at rate/per for a unit of score (1), just that (0), or less (-1). */
  private covers({ costs, support, total }: Project, by: string, r: number, rate: bigint, per: bigint) {
    const [cost, saved] = [at(costs, r) * per, by === 'phragmen'];
    if (!saved && rate * total < cost) return -1;
    let [inFull, inPart, last, due] = [0n, 0n, 0n, 0n];
    for (const { group, weight, score } of support) {
      const has = at(this.purses[r], group);
      if (score !== last) [last, due] = [score, (rate * score + per - 1n) / (per || 1n)];
      if (saved || has >= due) inFull += saved ? weight : weight * score;
      if (saved || has < due) inPart += weight * has;
    }
    const paid = rate * inFull + inPart * per;
    return paid < cost ? -1 : paid === cost && inFull > 0n ? 0 : 1;
  }

  /** Takes price × score from each supporter, or all they have; by Phragmén, all they have at that time. */
  private charge({ support }: Project, by: string, prices: bigint[]): object[] {
    const levels = new Map<bigint | string, { amounts: string[]; groups: number[] }>();
    for (const { group, score } of support) {
      const amounts = prices.map((price, r) => {
        const has = at(this.purses[r], group);
        const due = by === 'phragmen' ? has + price : price * score;
        return by === 'phragmen' || due < has ? due : has;
      });
      for (const [r, purse] of this.purses.entries()) purse[group] = at(purse, group) - at(amounts, r);
      const key = amounts.length === 1 ? at(amounts, 0) : `${amounts}`;
      const level = levels.get(key) ?? { amounts: amounts.map(String), groups: [] };
      levels.set(key, level);
      level.groups.push(group);
    }
    return [...levels.values()];
  }

  /** Why a project has lost in the end. */
  reasonFor(id: string, second: string, stopped: Project | undefined): LossReason | undefined {
    const project = this.projects.get(id);
    if (!project || project.weight === 0n) return project && { code: 'unsupported' };
    const { costs, support, total, variants } = project;
    if (total < this.rule.threshold) return { code: 'below_threshold' };
    const winner = this.chosen.get(variants);
    if (winner !== undefined) return { code: 'variant', winner };
    if (stopped && stopped !== project) return { code: 'after_stop', stoppedBy: stopped.id };
    const owned = (purse: bigint[]) => support.reduce((sum, s) => sum + s.weight * at(purse, s.group), 0n);
    const left = second === 'none' ? this.purses.map(owned) : this.pot;
    check(exceed(costs, left), `${id} could be bought`);
    return { code: second === 'none' ? 'unaffordable' : 'no_room', left: left.map(String) };
  }
}
