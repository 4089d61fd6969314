import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { drawLot } from './lot.js';
import { compare, lcm, multiply, one, parseRational, type Rational, zero } from './rational.js';
import type { TallyInput, TallyRule, TallyVoter } from './tally-input.js';

/** More projects than this in one vote is a mistake, and certificates and reports would be unreadable. */
export const PROJECT_LIMIT = 100_000;
/** Kinds of GPU in one round. */
export const BUDGET_LIMIT = 32;

export type BallotBoxProblem = Problem<'invalid_tally_input'>;

/**
 * An election in whole numbers: money in the smallest unit that makes every amount whole, weights and scores
 * likewise, and voters with the same weight and the same ballot as one group, since every rule treats them alike.
 */
export interface BallotBox {
  readonly input: TallyInput;
  readonly projectCount: number;
  readonly resourceCount: number;
  readonly groupCount: number;
  /** Budget per resource and cost[resource][project], in 1/moneyScale[resource]. */
  readonly budget: readonly bigint[];
  readonly cost: readonly (readonly bigint[])[];
  readonly moneyScale: readonly bigint[];
  readonly weightScale: bigint;
  readonly scoreScale: bigint;
  /** Weight of all members of a group together. Whole, and with scores below 2^53, so sums in doubles are exact. */
  readonly groupWeight: Float64Array;
  readonly totalWeight: number;
  /** Ballots: entries ballotStart[g] ≤ e < ballotStart[g + 1] belong to group g. */
  readonly ballotStart: Int32Array;
  readonly ballotProject: Int32Array;
  readonly ballotScore: Float64Array;
  /** The same entries by project. */
  readonly supportStart: Int32Array;
  readonly supportGroup: Int32Array;
  readonly supportScore: Float64Array;
  /** Weight of the supporters of a project, and the sum of weight × score. */
  readonly supportWeight: Float64Array;
  readonly supportTotal: Float64Array;
  /** The members of each group, in order of their ids, and what they share. */
  readonly groups: readonly BallotGroup[];
  /** Whether a project reaches the threshold of votes or points, with at least one supporter. */
  readonly eligible: Uint8Array;
  /** The threshold in whole units of weight × score. */
  readonly threshold: bigint;
  /** Which exclusive group a project belongs to, −1 for none. */
  readonly exclusive: Int32Array;
  /** The tie-breaking lot of each project. */
  readonly lot: readonly string[];
  /** The largest share of any one budget that a project costs: with one budget, cost/budget. */
  readonly size: readonly Rational[];
}

export interface BallotGroup {
  readonly voterIds: string[];
  readonly weight: Rational;
  readonly entries: readonly BallotEntry[];
}

export interface BallotEntry {
  readonly project: number;
  readonly score: Rational;
}

const refuse = (detail: string): Result<never, BallotBoxProblem> =>
  err(problem('invalid_tally_input', detail));

export function openBallotBox(input: TallyInput): Result<BallotBox, BallotBoxProblem> {
  const money = readMoney(input);
  if (!money.ok) return money;
  const index = indexProjects(input);
  if (!index.ok) return index;
  const groups = groupBallots(input.voters, index.value);
  if (!groups.ok) return groups;
  return layOut(input, money.value, groups.value);
}

interface Money {
  readonly budget: bigint[];
  readonly cost: bigint[][];
  readonly moneyScale: bigint[];
}

function readMoney(input: TallyInput): Result<Money, BallotBoxProblem> {
  if (input.budgets.length === 0) return refuse('there is no budget to share out');
  if (input.budgets.length > BUDGET_LIMIT) return refuse(`more than ${BUDGET_LIMIT} budgets`);
  if (input.projects.length === 0) return refuse('there is no project to choose from');
  if (input.projects.length > PROJECT_LIMIT) return refuse(`more than ${PROJECT_LIMIT} projects`);
  const money: Money = { budget: [], cost: [], moneyScale: [] };
  for (const [resource, budget] of input.budgets.entries()) {
    const amount = parseRational(budget.amount);
    if (!amount || amount.n <= 0n) return refuse(`budget ${budget.resource} must be an amount above zero`);
    const costs: Rational[] = [];
    for (const project of input.projects) {
      if (project.costs.length !== input.budgets.length) {
        return refuse(`project ${project.id} must have one cost for each of ${input.budgets.length} budgets`);
      }
      const cost = parseRational(project.costs[resource] ?? '');
      if (!cost) return refuse(`project ${project.id} has a cost that is not an amount`);
      if (cost.n < 0n) return refuse(`project ${project.id} has a negative cost`);
      costs.push(cost);
    }
    const start = resource === 0 ? lcm(amount.d, incrementOf(input.rule).d) : amount.d;
    const scale = costs.reduce((common, cost) => lcm(common, cost.d), start);
    money.moneyScale.push(scale);
    money.budget.push(whole(amount, scale));
    money.cost.push(costs.map((cost) => whole(cost, scale)));
  }
  return ok(money);
}

/** By how much Add1 raises the endowments at a time. */
export function incrementOf(rule: TallyRule): Rational {
  return (rule.name === 'equal-shares' ? parseRational(rule.increment ?? '1') : undefined) ?? one;
}

/** A number as a whole number of 1/scale. */
export const whole = (value: Rational, scale: bigint): bigint => value.n * (scale / value.d);

function indexProjects(input: TallyInput): Result<Map<string, number>, BallotBoxProblem> {
  const index = new Map<string, number>();
  for (const project of input.projects) {
    if (project.id === '') return refuse('a project has no id');
    if (index.has(project.id)) return refuse(`project id ${project.id} appears twice`);
    index.set(project.id, index.size);
  }
  return ok(index);
}

/** Puts voters with equal weight and equal ballot together; the order of voters and of ballots is forgotten. */
function groupBallots(
  voters: readonly TallyVoter[],
  index: ReadonlyMap<string, number>,
): Result<BallotGroup[], BallotBoxProblem> {
  if (voters.length === 0) return refuse('nobody voted');
  const groups = new Map<string, BallotGroup>();
  const seen = new Set<string>();
  for (const voter of voters) {
    if (seen.has(voter.id)) return refuse(`voter ${voter.id} has more than one ballot`);
    seen.add(voter.id);
    const key = ballotKey(voter, index);
    if (!key.ok) return key;
    const group = groups.get(key.value);
    if (group) {
      group.voterIds.push(voter.id);
      continue;
    }
    const opened = openGroup(voter, index);
    if (!opened.ok) return opened;
    groups.set(key.value, opened.value);
  }
  for (const group of groups.values()) if (group.voterIds.length > 1) group.voterIds.sort();
  const ordered = [...groups.values()];
  ordered.sort((a, b) => ((a.voterIds[0] ?? '') < (b.voterIds[0] ?? '') ? -1 : 1));
  return ok(ordered);
}

function ballotKey(voter: TallyVoter, index: ReadonlyMap<string, number>): Result<string, BallotBoxProblem> {
  const { ballot, scores } = voter;
  if (scores !== undefined && scores.length !== ballot.length) {
    return refuse(`voter ${voter.id} gives ${scores.length} scores to ${ballot.length} projects`);
  }
  const parts: (number | string)[] = [];
  for (let entry = 0; entry < ballot.length; entry++) {
    const project = index.get(ballot[entry] as string);
    if (project === undefined)
      return refuse(`voter ${voter.id} supports the unknown project ${ballot[entry]}`);
    parts.push(scores === undefined ? project : `${project}:${scores[entry]}`);
  }
  if (scores === undefined) parts.sort((a, b) => (a as number) - (b as number));
  else parts.sort();
  return ok(voter.weight === undefined ? parts.join() : `${parts.join()}*${voter.weight}`);
}

function openGroup(
  voter: TallyVoter,
  index: ReadonlyMap<string, number>,
): Result<BallotGroup, BallotBoxProblem> {
  const weight = voter.weight === undefined ? one : parseRational(voter.weight);
  if (!weight || weight.n <= 0n) return refuse(`voter ${voter.id} needs a weight above zero`);
  const entries: BallotEntry[] = [];
  const supported = new Set<number>();
  for (const [entry, id] of voter.ballot.entries()) {
    const project = index.get(id) as number;
    if (supported.has(project)) return refuse(`voter ${voter.id} names project ${id} twice`);
    supported.add(project);
    const score = voter.scores === undefined ? one : parseRational(voter.scores[entry] ?? '');
    if (!score || score.n <= 0n) return refuse(`voter ${voter.id} gives project ${id} no score above zero`);
    entries.push({ project, score });
  }
  entries.sort((a, b) => a.project - b.project);
  return ok({ voterIds: [voter.id], weight, entries });
}

function layOut(input: TallyInput, money: Money, groups: BallotGroup[]): Result<BallotBox, BallotBoxProblem> {
  const weightScale = groups.reduce((common, group) => lcm(common, group.weight.d), 1n);
  let scoreScale = 1n;
  let entryCount = 0;
  let topScore = one;
  for (const group of groups) {
    entryCount += group.entries.length;
    for (const { score } of group.entries) {
      if (score !== one) scoreScale = lcm(scoreScale, score.d);
      if (compare(score, topScore) > 0) topScore = score;
    }
  }
  const projectCount = input.projects.length;
  const box = {
    input,
    projectCount,
    resourceCount: money.budget.length,
    groupCount: groups.length,
    ...money,
    weightScale,
    scoreScale,
    groupWeight: new Float64Array(groups.length),
    totalWeight: 0,
    ballotStart: new Int32Array(groups.length + 1),
    ballotProject: new Int32Array(entryCount),
    ballotScore: new Float64Array(entryCount),
    supportStart: new Int32Array(projectCount + 1),
    supportGroup: new Int32Array(entryCount),
    supportScore: new Float64Array(entryCount),
    supportWeight: new Float64Array(projectCount),
    supportTotal: new Float64Array(projectCount),
    groups,
    eligible: new Uint8Array(projectCount),
    threshold: 0n,
    exclusive: exclusiveGroups(input),
    lot: input.projects.map((project) => drawLot(input.seed, project.id)),
    size: sizes(money, projectCount),
  };
  let totalWeight = 0n;
  for (const [g, group] of groups.entries()) {
    const weight = whole(group.weight, weightScale) * BigInt(group.voterIds.length);
    totalWeight += weight;
    box.groupWeight[g] = Number(weight);
  }
  if (totalWeight * whole(topScore, scoreScale * topScore.d) > BigInt(Number.MAX_SAFE_INTEGER)) {
    return refuse('weights and scores need more than 53 bits together; give them fewer digits');
  }
  box.totalWeight = Number(totalWeight);
  fillEntries(box, groups);
  box.threshold = thresholdOf(input.rule, weightScale * scoreScale);
  for (let p = 0; p < projectCount; p++) {
    const total = BigInt(box.supportTotal[p] as number);
    box.eligible[p] = total > 0n && total >= box.threshold ? 1 : 0;
  }
  return ok(box);
}

/** The two listings of who supports what: by group, and by project. */
function fillEntries(box: BallotBox, groups: readonly BallotGroup[]): void {
  let entry = 0;
  for (const [g, group] of groups.entries()) {
    box.ballotStart[g] = entry;
    const weight = box.groupWeight[g] as number;
    for (const { project, score } of group.entries) {
      const wholeScore = score === one && box.scoreScale === 1n ? 1 : Number(whole(score, box.scoreScale));
      box.ballotProject[entry] = project;
      box.ballotScore[entry] = wholeScore;
      box.supportStart[project + 1] = (box.supportStart[project + 1] as number) + 1;
      box.supportWeight[project] = (box.supportWeight[project] as number) + weight;
      box.supportTotal[project] = (box.supportTotal[project] as number) + weight * wholeScore;
      entry++;
    }
  }
  box.ballotStart[groups.length] = entry;
  for (let p = 0; p < box.projectCount; p++) {
    box.supportStart[p + 1] = (box.supportStart[p + 1] as number) + (box.supportStart[p] as number);
  }
  const next = box.supportStart.slice();
  for (let g = 0; g < groups.length; g++) {
    for (let e = box.ballotStart[g] as number; e < (box.ballotStart[g + 1] as number); e++) {
      const project = box.ballotProject[e] as number;
      const slot = next[project] as number;
      box.supportGroup[slot] = g;
      box.supportScore[slot] = box.ballotScore[e] as number;
      next[project] = slot + 1;
    }
  }
}

/** The least whole total that reaches the threshold. */
function thresholdOf(rule: TallyRule, scale: bigint): bigint {
  const { n, d } = parseRational(rule.threshold ?? '0') ?? zero;
  return (n * scale + d - 1n) / d;
}

function exclusiveGroups(input: TallyInput): Int32Array {
  const numbers = new Map<string, number>();
  return Int32Array.from(input.projects, ({ exclusiveGroup }) => {
    if (exclusiveGroup === undefined) return -1;
    const known = numbers.get(exclusiveGroup) ?? numbers.size;
    numbers.set(exclusiveGroup, known);
    return known;
  });
}

function sizes(money: Money, projectCount: number): Rational[] {
  return Array.from({ length: projectCount }, (_, project) => {
    let largest = zero;
    for (const [resource, budget] of money.budget.entries()) {
      const share = multiply({ n: money.cost[resource]?.[project] ?? 0n, d: 1n }, { n: 1n, d: budget });
      if (compare(share, largest) > 0) largest = share;
    }
    return largest;
  });
}
