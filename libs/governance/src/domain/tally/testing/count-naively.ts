import { openBallotBox } from '../ballot-box.js';
import { breakTie } from '../break-tie.js';
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
} from '../rational.js';
import type { TallyInput, Utility } from '../tally-input.js';

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
