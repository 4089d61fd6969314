import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BallotBox, openBallotBox } from './ballot-box.js';
import { endowmentAfter, equalShares } from './equal-shares.js';
import { type ShareOutcome, shareOut } from './share-out.js';
import type { EqualSharesRule, TallyInput } from './tally-input.js';
import { drawElection } from './testing.js';

function open(input: TallyInput): BallotBox {
  const box = openBallotBox(input);
  if (!box.ok) throw new Error(box.error.detail);
  return box.value;
}

/** Add1 as the rule says it: one raise after the other, nothing skipped. */
function raiseOneByOne(box: BallotBox, rule: EqualSharesRule, limit: number) {
  let shares = shareOut(box, rule.utility, endowmentAfter(box, rule, 0));
  let raises = 0;
  while (raises <= limit) {
    const options = { stopAbove: box.budget };
    const raised = shareOut(box, rule.utility, endowmentAfter(box, rule, raises + 1), options);
    if (!raised.complete) break;
    shares = raised;
    raises++;
  }
  return { shares, raises };
}

const projectsOf = ({ purchases }: ShareOutcome): number[] => purchases.map(({ project }) => project);

describe('looking ahead over raises', () => {
  it('ends at the same raise with the same purchases and prices as raising one by one', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<EqualSharesRule['utility']>('cost', 'cardinality'),
        fc.constantFrom('1/7', '1/40', '1/200'),
        fc.boolean(),
        fc.integer(),
        (utility, increment, points, seed) => {
          const rule: EqualSharesRule = { name: 'equal-shares', utility, completion: 'add1', increment };
          const shape = { points, weights: true, variants: true, maxVoters: 9 };
          const [input] = fc.sample(drawElection(rule, shape), { numRuns: 1, seed });
          if (!input) return;
          const box = open(input);
          const ahead = equalShares(box, rule);
          const slowly = raiseOneByOne(box, rule, ahead.raises + 3);
          // Where everything is bought in the end, the two may stop at different raises of no effect.
          if (ahead.overrun === undefined) return;
          expect(ahead.raises).toBe(slowly.raises);
          expect(ahead.shares.purchases).toEqual(slowly.shares.purchases);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('looks past no tie that the next raise undoes', () => {
    const rule: EqualSharesRule = {
      name: 'equal-shares',
      utility: 'cost',
      completion: 'add1',
      increment: '1/200',
    };
    const box = open({
      budgets: [{ resource: 'gpu0', amount: '2' }],
      projects: [
        { id: 'p0', name: '', costs: ['24'], exclusiveGroup: 'a' },
        { id: 'p1', name: '', costs: ['22'], exclusiveGroup: 'b' },
        { id: 'p2', name: '', costs: ['12'], exclusiveGroup: 'b' },
        { id: 'p3', name: '', costs: ['2'], exclusiveGroup: 'a' },
      ],
      voters: [
        { id: 'v0', weight: '2', ballot: ['p1'], scores: ['2'] },
        { id: 'v1', weight: '2', ballot: ['p0', 'p1'], scores: ['2', '4'] },
        { id: 'v2', weight: '4', ballot: ['p0', 'p1', 'p3'], scores: ['1', '4', '2'] },
        { id: 'v3', weight: '2', ballot: ['p0', 'p3'], scores: ['4', '4'] },
        { id: 'v4', weight: '2', ballot: ['p1', 'p3'], scores: ['3', '4'] },
        { id: 'v5', weight: '4', ballot: ['p1', 'p3'], scores: ['3', '4'] },
      ],
      rule,
      seed: 'cw=V',
    });
    // With 305 raises p1 and p3 are level and p3 is cheaper; with one more p1 comes first, and costs too much.
    expect(equalShares(box, rule).raises).toBe(305);
    expect(raiseOneByOne(box, rule, 310).raises).toBe(305);
  });

  it('promises only ranges within which nothing changes', () => {
    fc.assert(
      fc.property(
        drawElection(
          { name: 'equal-shares', utility: 'cost', completion: 'add1', increment: '1/100' },
          { points: true, weights: true, variants: true },
        ),
        fc.nat({ max: 2_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (input, raises, part) => {
          const rule = input.rule as EqualSharesRule;
          const box = open(input);
          const from = shareOut(box, 'cost', endowmentAfter(box, rule, raises), { range: 1e-9 });
          const step = 1 / 100 / Number(box.weightScale);
          const ahead = Math.floor(
            (Math.min(from.raisable, 50) / step) * part * (1 - 1e-9) * Number(box.moneyScale[0]) ** -1,
          );
          const there = shareOut(box, 'cost', endowmentAfter(box, rule, raises + ahead));
          expect(projectsOf(there)).toEqual(projectsOf(from));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('counts a few voters with a huge budget in no time, though a hundred million raises lie between', () => {
    const input: TallyInput = {
      budgets: [{ resource: 'GPU-seconds', amount: '3000000000' }],
      projects: [
        { id: 'a', name: '', costs: ['1200000000'] },
        { id: 'b', name: '', costs: ['1100000000'] },
        { id: 'c', name: '', costs: ['900000000'] },
        { id: 'd', name: '', costs: ['700000000'] },
      ],
      voters: Array.from({ length: 9 }, (_, v) => ({
        id: `lab ${v}`,
        ballot: ['abcd'[v % 4] ?? '', 'abcd'[(v * 3 + 1) % 4] ?? ''].filter(
          (id, k, all) => all.indexOf(id) === k,
        ),
      })),
      rule: { name: 'equal-shares', utility: 'cost', completion: 'add1' },
      seed: '',
    };
    const begin = performance.now();
    const outcome = equalShares(open(input), input.rule as EqualSharesRule);
    expect(outcome.raises).toBeGreaterThan(1_000_000);
    expect(performance.now() - begin).toBeLessThan(2_000);
  });
});
