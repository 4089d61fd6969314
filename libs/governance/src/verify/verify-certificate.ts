import { createHash } from 'node:crypto';
import { default as canonicalize } from 'canonicalize';
import type { TallyCertificate } from '../domain/tally/certificate.js';
import { type ReadCertificate, type ReadPurchase, readCertificate } from './certificate-schema.js';

export type Verdict = { readonly valid: true } | { readonly valid: false; readonly reason: string };

/**
 * Checks a certificate without running the rule: its digests (RFC 8785), who paid what, that nothing better was passed
 * over, why each loser lost. It stands on no file of ours but the shape: no mistake in a rule is repeated here.
 */
export function verifyCertificate(certificate: TallyCertificate): Verdict {
  try {
    const paper = readCertificate(certificate);
    const { sha256: seal, groups, ...rest } = certificate;
    check(digest(groups) === paper.ballotsSha256, 'the ballots do not match their digest');
    check(digest(rest) === seal, 'the content does not match its digest');
    audit(paper);
    return { valid: true };
  } catch (error) {
    return { valid: false, reason: (error as Error).message };
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
const once = (ids: readonly string[]): boolean => new Set(ids).size === ids.length;
const at = (all: readonly bigint[] | undefined, place: number): bigint => all?.[place] as bigint;

/** Money is in grains, of which every budget has as many, so that all prices compare. */
function audit(paper: ReadCertificate): void {
  const { rule, projects, groups, winners, losers, raises, overrun, stop, units, budgets, endowment } = paper;
  check(once(projects.map(({ id }) => id)), 'a project stands twice');
  check(once(groups.flatMap(({ voters }) => voters)), 'a voter stands twice');
  check(units.money.length === budgets.length, 'a budget has no unit of money');
  for (const { amount } of budgets) check(units.grains % amount === 0n, 'a budget counts parts of grains');
  const shares = rule.name === 'equal-shares';
  const completion = shares ? rule.completion : rule.name;
  const add1 = completion === 'add1' || completion === 'add1u';
  const second = completion === 'add1u' ? 'greedy' : completion === 'add1' ? 'none' : completion;
  const weight = groups.reduce((sum, group) => sum + group.weight * BigInt(group.voters.length), 0n);
  const raise = shares ? rule.increment * (units.grains / (budgets[0]?.amount ?? 1n)) : 0n;
  const given = shares ? units.grains * units.weight + BigInt(raises) * raise * weight : 0n;
  check(given === endowment * units.weight * weight, 'the endowment is another part of the budget');
  check(raise % units.weight === 0n, 'a raise has no whole number of grains');
  check(second !== 'phragmen' || budgets.length === 1, 'Phragmén shares out one budget');
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
  const lost = [...count.projects.values()].map((one) => count.lossOf(one, second, stopped));
  check(canonicalize(losers) === canonicalize(lost), 'the losers are others, or lost for other reasons');
}

/** With costs in grains; the groups that support it stand with the weight of all their members. */
const projectOf = (id: string, costs: bigint[], lot: string, variants: string | undefined) => {
  const support: { readonly group: number; readonly weight: bigint; readonly score: bigint }[] = [];
  const parts = new Map<string, { readonly inFull: bigint; readonly inPart: bigint }>();
  return { id, costs, size: largest(costs), lot, variants, support, parts, weight: 0n, total: 0n };
};
type Project = ReturnType<typeof projectOf>;

/** Goes through purchases one by one from equal endowments; `skips`: what does not fit is passed over. */
class Replay {
  private readonly rule: ReadCertificate['rule'];
  /** All that has not won, in the order of the certificate; what of it still can; what won of each group of variants. */
  readonly projects = new Map<string, Project>();
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
      check(costs.length === budgets.length, `${id} has not one cost in each budget`);
      const grains = budgets.map(({ amount }, r) => (units.grains / amount) * at(costs, r));
      this.projects.set(id, projectOf(id, grains, sha256(`beamtime lot\n${seed}\n${id}`), exclusiveGroup));
    }
    for (const [group, { voters, weight: each, ballot, scores }] of groups.entries()) {
      const weight = each * BigInt(voters.length);
      check(once(ballot) && scores.length === ballot.length, 'a ballot has not one score for each vote');
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
    for (const from of [this.projects, this.open]) from.delete(id);
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
  private covers({ costs, support, parts }: Project, by: string, r: number, rate: bigint, per: bigint) {
    const [cost, saved, key, found] = [at(costs, r) * per, by === 'phragmen', by + r, parts.get(by + r)];
    // Purses only shrink: whatever the price, nobody pays more than by the parts, full or all they had, last found.
    if (found && rate * found.inFull + per * found.inPart < cost) return -1;
    let [inFull, inPart, last, due] = [0n, 0n, 0n, 0n];
    for (const { group, weight, score } of support) {
      const has = at(this.purses[r], group);
      if (score !== last) [last, due] = [score, (rate * score + per - 1n) / (per || 1n)];
      if (saved || has >= due) inFull += saved ? weight : weight * score;
      if (saved || has < due) inPart += weight * has;
    }
    parts.set(key, { inFull, inPart });
    const paid = rate * inFull + inPart * per;
    return paid < cost ? -1 : paid === cost && inFull > 0n ? 0 : 1;
  }

  /** Takes price × score from each supporter, or all they have; by Phragmén, all they have at that time. */
  private charge({ support }: Project, by: string, prices: bigint[]): object[] {
    const levels = new Map<bigint | string, { amounts: string[]; groups: number[] }>();
    for (const { group, score } of support) {
      const amounts = prices.map((price, r) => {
        const [has, due] = [at(this.purses[r], group), price * score];
        return by === 'phragmen' ? has + price : has - due > 0n ? due : has;
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
  lossOf({ id: project, costs, support, weight, total, variants }: Project, second: string, stop?: Project) {
    if (weight === 0n) return { project, reason: { code: 'unsupported' } };
    if (total < this.rule.threshold) return { project, reason: { code: 'below_threshold' } };
    const winner = this.chosen.get(variants);
    if (winner !== undefined) return { project, reason: { code: 'variant', winner } };
    if (stop && stop.id !== project) return { project, reason: { code: 'after_stop', stoppedBy: stop.id } };
    const owned = (purse: bigint[]) => support.reduce((sum, s) => sum + s.weight * at(purse, s.group), 0n);
    const [code, left] = second === 'none' ? ['unaffordable', this.purses.map(owned)] : ['no_room', this.pot];
    check(exceed(costs, left), `${project} could be bought`);
    return { project, reason: { code, left: left.map(String) } };
  }
}
