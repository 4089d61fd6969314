import { canonicalText } from './canonical-text.js';
import {
  CERTIFICATE_FORMAT,
  type CertifiedPayment,
  type CertifiedPrice,
  type CertifiedWinner,
  type TallyCertificate,
} from './certificate.js';
import { sha256 } from './sha256.js';

/** A project as the certificate states it. */
export interface ReadProject {
  readonly id: string;
  readonly costs: readonly bigint[];
  /** The largest share of a budget that it costs, times the product of all budgets. */
  readonly size: bigint;
  readonly variants: string | undefined;
  /** The lot that a tie falls back on. */
  readonly lot: string;
  readonly support: ReadSupport[];
  weight: bigint;
  total: bigint;
  /** What its supporters own together in each budget; the verifier keeps it. */
  owned: bigint[];
}

/** A group that supports a project, by its position; its weight; the score it gives; and both multiplied. */
export interface ReadSupport {
  readonly group: number;
  readonly weight: bigint;
  readonly score: bigint;
  readonly points: bigint;
}

export interface ReadCertificate {
  readonly budgets: readonly bigint[];
  /** For each budget, the product of the others: what makes shares of different budgets comparable. */
  readonly others: readonly bigint[];
  readonly projects: ReadonlyMap<string, ReadProject>;
  readonly allWeight: bigint;
  /** What each group supports. */
  readonly ballots: readonly (readonly ReadProject[])[];
}

/** What is wrong with a certificate, in words for whoever checks it. */
export class CertificateFault extends Error {}

export type Verdict = { readonly valid: true } | { readonly valid: false; readonly reason: string };

/** What came of a check. */
export function verdictOf(audit: () => void): Verdict {
  try {
    audit();
    return { valid: true };
  } catch (error) {
    const fault = error instanceof CertificateFault;
    return { valid: false, reason: fault ? error.message : 'the certificate is malformed' };
  }
}

export function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new CertificateFault(reason);
}

/** A whole number, written the one way it can be. */
export function whole(text: string | undefined): bigint {
  check(text !== undefined && /^(0|-?[1-9]\d*)$/.test(text), `${text} is not a whole number`);
  return BigInt(text);
}

export function largest(all: readonly bigint[]): bigint {
  let top = 0n;
  for (const value of all) if (value > top) top = value;
  return top;
}

/** n/d in lowest terms. */
export function exactText(n: bigint, d: bigint): string {
  let [a, b] = [d, n];
  while (b !== 0n) [a, b] = [b, a % b];
  return d === a ? `${n / a}` : `${n / a}/${d / a}`;
}

export function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

export function sign(n: bigint): number {
  return n > 0n ? 1 : n < 0n ? -1 : 0;
}

/**
 * Reads what was put to the vote and how everyone voted, once the digests are right and it all makes sense. Only the
 * verifier uses it; the rules never see it.
 */
export function readCertificate({ sha256: seal, ...paper }: TallyCertificate): ReadCertificate {
  check(paper.format === CERTIFICATE_FORMAT, 'the format of the certificate is unknown');
  const { groups, ...rest } = paper;
  check(sha256(canonicalText(groups)) === paper.ballotsSha256, 'the ballots do not match their digest');
  check(sha256(canonicalText(rest)) === seal, 'the content does not match its digest');
  const { money, weight, score, grain, overrunGrain } = paper.units;
  for (const unit of [...money, weight, score, grain, overrunGrain])
    check(whole(unit) > 0n, 'a unit is not above zero');
  const budgets = paper.budgets.map(({ amount }) => whole(amount));
  check(money.length === budgets.length, 'there must be a unit of money for each budget');
  check(budgets.length > 0 && budgets.every((budget) => budget > 0n), 'a budget is not above zero');
  const others = budgets.map((_, r) =>
    budgets.reduce((all, budget, other) => (other === r ? all : all * budget), 1n),
  );
  const projects = new Map<string, ReadProject>();
  for (const { id, costs: texts, exclusiveGroup: variants } of paper.projects) {
    const costs = texts.map(whole);
    check(
      costs.length === budgets.length && costs.every((cost) => cost >= 0n),
      `the costs of ${id} are malformed`,
    );
    check(!projects.has(id), `project ${id} stands twice`);
    const lot = sha256(`beamtime lot\n${paper.seed}\n${id}`);
    const size = largest(costs.map((cost, r) => cost * (others[r] as bigint)));
    projects.set(id, { id, costs, size, variants, lot, support: [], weight: 0n, total: 0n, owned: [] });
  }
  return { budgets, others, projects, ...readBallots(paper.groups, projects) };
}

function readBallots(groups: TallyCertificate['groups'], projects: ReadonlyMap<string, ReadProject>) {
  const voters = new Set<string>();
  let allWeight = 0n;
  const ballots = groups.map(({ voters: members, weight: text, ballot, scores }, group) => {
    for (const id of members) check(voters.size < voters.add(id).size, `voter ${id} stands twice`);
    const weight = whole(text) * BigInt(members.length);
    check(weight > 0n && scores.length === ballot.length, `the ballot of group ${group} is malformed`);
    allWeight += weight;
    return ballot.map((id, entry) => {
      const project = projects.get(id);
      const score = whole(scores[entry]);
      const fresh = project !== undefined && project.support.at(-1)?.group !== group;
      check(fresh && score > 0n, `a vote of group ${group} for ${id} is malformed`);
      project.support.push({ group, weight, score, points: weight * score });
      project.weight += weight;
      project.total += weight * score;
      return project;
    });
  });
  check(allWeight > 0n, 'nobody voted');
  return { allWeight, ballots };
}

/**
 * What a unit of weight was given in each budget after so many raises, in 1/grain of the unit of
 * money: nothing but under Equal Shares.
 */
export function endowmentsAfter(
  paper: TallyCertificate,
  ballots: ReadCertificate,
  raises: number,
  grain: bigint,
) {
  const { rule, units, endowment } = paper;
  const [weightUnit, first] = [whole(units.weight), ballots.budgets[0] as bigint];
  const raise =
    rule.name === 'equal-shares' ? BigInt(raises) * whole(rule.increment) * ballots.allWeight : 0n;
  const parts = ballots.allWeight * first * weightUnit;
  const given = ballots.budgets.map((budget) => {
    const all = rule.name === 'equal-shares' ? budget * grain * (weightUnit * first + raise) : 0n;
    check(all % parts === 0n, 'the grain is too coarse for the endowment');
    return all / parts;
  });
  const stated = rule.name === 'equal-shares' ? given.map(String) : [];
  const right = raises !== paper.raises || canonicalText(endowment) === canonicalText(stated);
  check(right, 'the endowment is not the share of the budget');
  return given;
}

/** A winner with its payments; or a price only, in the overrun and at the stop. */
export type ReadPurchase = CertifiedPrice & Partial<CertifiedWinner>;

/** Who is said to have won and lost: each project once, and chosen by the part of the rule that may choose it. */
export function readOutcome(paper: TallyCertificate) {
  const { rule, budgets, projects, winners, losers, raises, overrun, stop, units } = paper;
  const listed = new Set([...winners, ...losers].map(({ project }) => project));
  const once = winners.length + losers.length === projects.length && listed.size === projects.length;
  check(
    once && projects.every(({ id }) => listed.has(id)),
    'winners and losers are not all projects, each once',
  );
  checkRule(rule);
  const completion = rule.name === 'equal-shares' ? rule.completion : rule.name;
  const add1 = completion === 'add1' || completion === 'add1u';
  const second = completion === 'add1u' ? 'greedy' : completion === 'add1' ? 'none' : completion;
  const first = rule.name === 'equal-shares' ? 'equal-shares' : second;
  const shared = winners.filter(({ by }) => by === 'equal-shares');
  const inOrder = winners.every(({ by }, place) => by === (place < shared.length ? first : second));
  check(inOrder, 'a winner was chosen by another rule');
  const raised = Number.isSafeInteger(raises) && raises >= 0 && (add1 || raises + overrun.length === 0);
  check(raised, 'endowments were raised against the rule');
  check(overrun.length > 0 || units.overrunGrain === '1', 'there is a grain of no overrun');
  const stops = rule.name !== 'equal-shares' && !rule.skip;
  check(stop.length === 0 || (stops && stop.length === 1), 'the count stopped against the rule');
  for (const { by, prices, payments } of winners) {
    check(
      prices.length === (by === 'equal-shares' ? budgets.length : by === 'phragmen' ? 1 : 0),
      'prices are missing',
    );
    const exact = payments.every(({ amounts }) => amounts.length === prices.length);
    check(exact && (by !== 'greedy' || payments.length === 0), 'payments are not in the budgets');
  }
  const rest: ReadPurchase[] = [...winners.slice(shared.length), ...stop];
  return { shared, rest, second, add1 };
}

function checkRule(rule: TallyCertificate['rule']): void {
  check(['equal-shares', 'phragmen', 'greedy'].includes(rule.name), 'the rule is unknown');
  check(whole(rule.threshold) >= 0n, 'the threshold is negative');
  if (rule.name !== 'equal-shares')
    check(typeof rule.skip === 'boolean', 'the rule must say whether it skips');
  if (rule.name !== 'phragmen')
    check(['cost', 'cardinality'].includes(rule.utility), 'the utility is unknown');
  if (rule.name !== 'equal-shares') return;
  check(['none', 'add1', 'add1u', 'phragmen'].includes(rule.completion), 'the completion is unknown');
  check(whole(rule.increment) > 0n, 'the increment is not above zero');
}

/** What each group is said to have paid, in each budget. */
export function readPayments(payments: readonly CertifiedPayment[]): Map<number, readonly bigint[]> {
  const paid = new Map<number, readonly bigint[]>();
  for (const { groups, amounts } of payments) {
    const exact = amounts.map(whole);
    for (const group of groups) check(paid.size < paid.set(group, exact).size, `group ${group} pays twice`);
  }
  return paid;
}
