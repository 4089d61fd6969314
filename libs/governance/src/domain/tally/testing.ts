import fc from 'fast-check';
import { openBallotBox } from './ballot-box.js';
import { breakTie } from './break-tie.js';
import type { TallyCertificate } from './certificate.js';
import {
  add,
  compare,
  divide,
  multiply,
  parseRational,
  type Rational,
  rational,
  subtract,
  zero,
} from './rational.js';
import type { TallyInput, TallyProject, TallyRule, TallyVoter, Utility } from './tally-input.js';

// What the specs of the tally share: elections to draw, the count as the paper writes it, and forgeries.

export interface ElectionShape {
  readonly budgets?: number;
  readonly points?: boolean;
  readonly weights?: boolean;
  readonly variants?: boolean;
  readonly maxVoters?: number;
  readonly maxProjects?: number;
}

/** Small elections with small numbers, in which ties and exactly exhausted purses are frequent. */
export function drawElection(rule: TallyRule, shape: ElectionShape = {}): fc.Arbitrary<TallyInput> {
  const budgets = shape.budgets ?? 1;
  return fc
    .record({
      amounts: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: budgets, maxLength: budgets }),
      projects: fc.array(drawProject(budgets, shape), { minLength: 1, maxLength: shape.maxProjects ?? 6 }),
      voters: fc.array(drawVoter(shape), { minLength: 1, maxLength: shape.maxVoters ?? 8 }),
      seed: fc.string({ maxLength: 4 }),
    })
    .map(({ amounts, projects, voters, seed }) => ({
      budgets: amounts.map((amount, r) => ({ resource: `gpu${r}`, amount: `${amount}` })),
      projects: projects.map(
        (project, p): TallyProject => ({ ...project, id: `p${p}`, name: `Project ${p}` }),
      ),
      voters: voters.map((drawn, v) => voterOf(drawn, v, projects.length, shape)),
      rule,
      seed,
    }));
}

function drawProject(budgets: number, shape: ElectionShape) {
  const cost = fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 1, max: 24 }) },
    { weight: 1, arbitrary: fc.constant(0) },
  );
  const costs = fc.array(cost.map(String), { minLength: budgets, maxLength: budgets });
  if (!shape.variants) return costs.map((drawn) => ({ costs: drawn }));
  return fc
    .record({ costs, group: fc.option(fc.constantFrom('a', 'b')) })
    .map(({ costs, group }) => (group === null ? { costs } : { costs, exclusiveGroup: group }));
}

interface DrawnVoter {
  readonly approves: readonly boolean[];
  readonly scores: readonly number[];
  readonly weight: number;
}

function drawVoter(shape: ElectionShape): fc.Arbitrary<DrawnVoter> {
  const most = shape.maxProjects ?? 6;
  return fc.record({
    approves: fc.array(fc.boolean(), { minLength: most, maxLength: most }),
    scores: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: most, maxLength: most }),
    weight: fc.integer({ min: 1, max: 4 }),
  });
}

function voterOf(drawn: DrawnVoter, v: number, projects: number, shape: ElectionShape): TallyVoter {
  const approved = drawn.approves.flatMap((yes, p) => (yes && p < projects ? [p] : []));
  return {
    id: `v${v}`,
    ballot: approved.map((p) => `p${p}`),
    ...(shape.points ? { scores: approved.map((p) => `${drawn.scores[p] ?? 1}`) } : {}),
    ...(shape.weights ? { weight: `${drawn.weight}` } : {}),
  };
}

/**
 * Equal Shares as the paper writes it, voter by voter in fractions, with no thought of speed: what the fast one must
 * agree with. Ties are broken by the same function, since the paper leaves them open.
 */
export function shareNaively(
  input: TallyInput,
  utility: Utility,
  raises = 0,
): { winners: string[]; paid: Map<string, Map<string, Rational[]>> } {
  const box = openBallotBox(input);
  if (!box.ok) throw new Error(box.error.detail);
  const amount = (text: string | undefined): Rational => parseRational(text ?? '') ?? zero;
  const weights = new Map(input.voters.map((voter) => [voter.id, amount(voter.weight ?? '1')]));
  const all = [...weights.values()].reduce(add, zero);
  const budgets = input.budgets.map((budget) => amount(budget.amount));
  const first = budgets[0] ?? zero;
  const left = new Map(
    input.voters.map(({ id }) => [
      id,
      budgets.map((budget) => {
        const raise = multiply(rational(BigInt(raises)), divide(budget, first));
        return multiply(weights.get(id) ?? zero, add(divide(budget, all), raise));
      }),
    ]),
  );
  const open = new Set(input.projects.map((_, index) => index));
  const winners: string[] = [];
  const paid = new Map<string, Map<string, Rational[]>>();
  for (;;) {
    let best: { project: number; level: Rational; prices: Rational[] } | undefined;
    for (const project of open) {
      const found = priceOf(input, project, weights, left, budgets, utility);
      if (!found) continue;
      const order = best ? compare(found.level, best.level) : -1;
      const first =
        order < 0 || (best && order === 0 && breakTie(box.value, project, best.project).order < 0);
      if (first) best = { project, ...found };
    }
    if (!best) return { winners, paid };
    const { id, exclusiveGroup } = input.projects[best.project] ?? { id: '' };
    const payments = new Map<string, Rational[]>();
    for (const [voter, score] of supportersOf(input, id)) {
      const purse = left.get(voter) ?? [];
      const due = best.prices.map((price, r) =>
        least(purse[r] ?? zero, multiply(multiply(weights.get(voter) ?? zero, score), price)),
      );
      payments.set(voter, due);
      left.set(
        voter,
        purse.map((has, r) => subtract(has, due[r] ?? zero)),
      );
    }
    winners.push(id);
    paid.set(id, payments);
    for (const [index, other] of input.projects.entries()) {
      if (other.id === id || (exclusiveGroup !== undefined && other.exclusiveGroup === exclusiveGroup))
        open.delete(index);
    }
  }
}

function supportersOf(input: TallyInput, id: string): [string, Rational][] {
  return input.voters.flatMap(({ id: voter, ballot, scores }): [string, Rational][] => {
    const entry = ballot.indexOf(id);
    return entry < 0 ? [] : [[voter, parseRational(scores?.[entry] ?? '1') ?? zero]];
  });
}

function priceOf(
  input: TallyInput,
  project: number,
  weights: ReadonlyMap<string, Rational>,
  left: ReadonlyMap<string, readonly Rational[]>,
  budgets: readonly Rational[],
  utility: Utility,
): { level: Rational; prices: Rational[] } | undefined {
  const { id, costs } = input.projects[project] ?? { id: '', costs: [] };
  const supporters = supportersOf(input, id);
  if (supporters.length === 0) return undefined;
  const prices: Rational[] = [];
  let level = zero;
  let size = zero;
  for (const [r, budget] of budgets.entries()) {
    const cost = parseRational(costs[r] ?? '') ?? zero;
    const purses = supporters.map(([voter, score]) => ({
      has: left.get(voter)?.[r] ?? zero,
      share: multiply(weights.get(voter) ?? zero, score),
    }));
    const price = priceThatCovers(purses, cost);
    if (!price) return undefined;
    prices.push(price);
    level = most(level, divide(price, budget));
    size = most(size, divide(cost, budget));
  }
  const perUtility = utility === 'cost' && size.n !== 0n ? divide(level, size) : level;
  return { level: perUtility, prices };
}

/** The least r with Σ min(has, r·share) = cost. */
function priceThatCovers(purses: { has: Rational; share: Rational }[], cost: Rational): Rational | undefined {
  if (cost.n === 0n) return zero;
  const ordered = [...purses].sort((a, b) => compare(divide(a.has, a.share), divide(b.has, b.share)));
  let rest = cost;
  let shares = ordered.reduce((sum, { share }) => add(sum, share), zero);
  for (const { has, share } of ordered) {
    const price = divide(rest, shares);
    if (compare(multiply(price, share), has) <= 0) return price;
    rest = subtract(rest, has);
    shares = subtract(shares, share);
  }
  return undefined;
}

const least = (a: Rational, b: Rational): Rational => (compare(a, b) < 0 ? a : b);
const most = (a: Rational, b: Rational): Rational => (compare(a, b) > 0 ? a : b);

export interface Tampering {
  readonly path: string;
  readonly forged: TallyCertificate;
}

/** Every certificate that differs in one value, one entry left out, one doubled, or two neighbours swapped. */
export function* tamperings(certificate: TallyCertificate): Generator<Tampering> {
  const honest = JSON.stringify(certificate);
  for (const path of pathsOf(certificate, [])) {
    for (const change of changesAt(certificate, path)) {
      const forged: unknown = JSON.parse(honest);
      change(forged);
      // Swapping equals, for one, changes nothing, and so is no tampering.
      if (JSON.stringify(forged) === honest) continue;
      yield { path: `/${path.join('/')}`, forged: forged as TallyCertificate };
    }
  }
}

type Path = readonly (string | number)[];
type Change = (root: unknown) => void;

function* pathsOf(value: unknown, path: Path): Generator<Path> {
  if (path.length > 0) yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    yield* pathsOf(member, [...path, Array.isArray(value) ? Number(key) : key]);
  }
}

function changesAt(root: unknown, path: Path): Change[] {
  const value = at(root, path);
  if (path.at(-1) === 'exclusiveGroup') return [replace(path, `${value}x`), remove(path)];
  if (typeof value === 'string') return textChanges(value).map((next) => replace(path, next));
  if (typeof value === 'number') return [value + 1, value - 1].map((next) => replace(path, next));
  if (typeof value === 'boolean') return [replace(path, !value)];
  if (!Array.isArray(value) || value.length === 0) return [];
  return [
    (forged) => listAt(forged, path).pop(),
    (forged) => listAt(forged, path).shift(),
    (forged) => listAt(forged, path).push(structuredClone(value[0])),
    (forged) => listAt(forged, path).reverse(),
  ];
}

function textChanges(text: string): string[] {
  if (/^-?\d+$/.test(text))
    return [`${BigInt(text) + 1n}`, `${BigInt(text) - 1n}`, `${BigInt(text) * 2n}`, `${text}0`];
  return [`${text}x`, text.slice(1), ...(alternatives[text] ?? [])].filter((next) => next !== text);
}

/** Other words that stand in the same place of a certificate. */
const alternatives: Readonly<Record<string, readonly string[]>> = {
  cost: ['cardinality'],
  cardinality: ['cost'],
  none: ['add1', 'phragmen'],
  add1: ['none', 'add1u'],
  add1u: ['add1', 'none'],
  'equal-shares': ['greedy', 'phragmen'],
  phragmen: ['greedy', 'equal-shares', 'none'],
  greedy: ['phragmen', 'equal-shares'],
  unaffordable: ['no_room', 'unsupported'],
  unsupported: ['below_threshold', 'variant'],
  no_room: ['after_stop', 'unaffordable'],
  p0: ['p1'],
  p1: ['p0', 'p2'],
  p2: ['p1'],
  v0: ['v1', 'v9'],
};

function at(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], root);
}

function listAt(root: unknown, path: Path): unknown[] {
  return at(root, path) as unknown[];
}

function replace(path: Path, next: unknown): Change {
  return (root) => {
    const parent = at(root, path.slice(0, -1)) as Record<string | number, unknown>;
    parent[path.at(-1) as string | number] = next;
  };
}

function remove(path: Path): Change {
  return (root) => {
    delete (at(root, path.slice(0, -1)) as Record<string | number, unknown>)[path.at(-1) as string | number];
  };
}
