import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyCertificate } from '../../verify/verify-certificate.js';
import { parseRational, rational, rationalText } from './rational.js';
import { type TallyResult, tally } from './tally.js';
import type { EqualSharesRule, TallyInput, Utility } from './tally-input.js';
import { drawElection, type ElectionShape, shareNaively } from './testing.js';

const byRule = (utility: Utility, completion: EqualSharesRule['completion'] = 'none'): EqualSharesRule => ({
  name: 'equal-shares',
  utility,
  completion,
});

function count(input: TallyInput): TallyResult {
  const counted = tally(input);
  if (!counted.ok) throw new Error(counted.error.detail);
  return counted.value;
}

/** Per winner and voter what the certificate says was paid, as texts in the units of the input. */
function paymentsOf({ certificate }: TallyResult): Record<string, Record<string, string[]>> {
  const { units, groups, budgets } = certificate;
  return Object.fromEntries(
    certificate.winners.map(({ project, payments }) => [
      project,
      Object.fromEntries(
        payments.flatMap(({ amounts, groups: payers }) =>
          payers.flatMap((payer) =>
            (groups[payer]?.voters ?? []).map((voter) => [
              voter,
              amounts.map((amount, r) => {
                const whole =
                  BigInt(amount) * BigInt(groups[payer]?.weight ?? '0') * BigInt(budgets[r]?.amount ?? '0');
                return rationalText(rational(whole, BigInt(units.money[r] ?? '1') * BigInt(units.grains)));
              }),
            ]),
          ),
        ),
      ),
    ]),
  );
}

const shapes: [string, ElectionShape][] = [
  ['approval ballots', {}],
  ['points', { points: true }],
  ['weights', { weights: true }],
  ['exclusive variants', { variants: true }],
  ['several budgets', { budgets: 3 }],
  ['all of it at once', { points: true, weights: true, variants: true, budgets: 2 }],
];

describe.each(shapes)('Equal Shares with %s', (_, shape) => {
  it.each<Utility>(['cost', 'cardinality'])('is what the paper says, payment by payment (%s)', (utility) => {
    fc.assert(
      fc.property(drawElection(byRule(utility), shape), (input) => {
        const fast = count(input);
        const naive = shareNaively(input, utility);
        expect(fast.winners).toEqual(naive.winners);
        const paid = Object.fromEntries(
          [...naive.paid].map(([project, payers]) => [
            project,
            Object.fromEntries([...payers].map(([voter, due]) => [voter, due.map(rationalText)])),
          ]),
        );
        expect(paymentsOf(fast)).toEqual(paid);
      }),
      { numRuns: 150 },
    );
  });

  it('is certified', () => {
    fc.assert(
      fc.property(
        drawElection(byRule('cost'), shape),
        fc.constantFrom<Utility>('cost', 'cardinality'),
        fc.constantFrom<EqualSharesRule['completion']>('none', 'add1', 'add1u', 'phragmen'),
        (input, utility, completion) => {
          if (completion === 'phragmen' && input.budgets.length > 1) return;
          const { certificate } = count({ ...input, rule: byRule(utility, completion) });
          expect(verifyCertificate(certificate)).toEqual({ valid: true });
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('Add1', () => {
  const add1 = byRule('cost', 'add1');

  it('ends with the last affordable outcome, raising by one unit at a time', () => {
    fc.assert(
      fc.property(drawElection(add1, { weights: true, variants: true }), (input) => {
        const { winners, certificate } = count(input);
        expect(winners).toEqual(shareNaively(input, 'cost', certificate.raises).winners);
        for (let raises = 0; raises <= certificate.raises; raises++) {
          expect(costOf(input, shareNaively(input, 'cost', raises).winners)).toBeLessThanOrEqual(
            budgetOf(input),
          );
        }
        if (certificate.overrun.length === 0) return;
        const next = shareNaively(input, 'cost', certificate.raises + 1).winners;
        expect(costOf(input, next)).toBeGreaterThan(budgetOf(input));
      }),
      { numRuns: 100 },
    );
  });

  it('goes on past an outcome that leaves no room for any project', () => {
    const voters = (ids: string[], ballot: string[]) => ids.map((id) => ({ id, ballot }));
    const input: TallyInput = {
      budgets: [{ resource: 'eur', amount: '100' }],
      projects: [
        { id: 'big', name: '', costs: ['90'] },
        { id: 'small', name: '', costs: ['50'] },
        { id: 'rest', name: '', costs: ['20'] },
      ],
      voters: [
        ...voters(['a', 'b', 'c', 'd', 'e'], ['big']),
        ...voters(['f', 'g', 'h', 'i', 'j'], ['small', 'rest']),
      ],
      rule: add1,
      seed: '',
    };
    const { winners, certificate } = count(input);
    expect(certificate.raises).toBeGreaterThan(0);
    expect(winners).toEqual(shareNaively(input, 'cost', certificate.raises).winners);
  });
});

function costOf(input: TallyInput, winners: readonly string[]): number {
  const costs = input.projects.filter(({ id }) => winners.includes(id)).map(({ costs }) => Number(costs[0]));
  return costs.reduce((sum, cost) => sum + cost, 0);
}

function budgetOf(input: TallyInput): number {
  const amount = parseRational(input.budgets[0]?.amount ?? '');
  return Number(amount?.n ?? 0n);
}
