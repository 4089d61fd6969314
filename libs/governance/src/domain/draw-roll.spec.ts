import { charterSchema } from '@beamtime/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawRoll, type ElectorateLab } from './draw-roll.js';
import type { RollEntry } from './frozen-round.js';
import { add, compare, parseRational, rational, zero } from './tally/rational.js';

const lab = (
  n: number,
  people: ElectorateLab['people'],
  more: Partial<ElectorateLab> = {},
): ElectorateLab => ({
  labId: `lab_${n}`,
  name: `Lab ${n}`,
  contributionWeight: 1,
  inArrears: false,
  people,
  ...more,
});
const person = (id: string, role: string) => ({ personId: id, role });
const charter = (wish: Parameters<typeof charterSchema.parse>[0] = {}) => charterSchema.parse(wish);
const weightOf = (roll: readonly RollEntry[], labId: string) =>
  roll
    .filter((entry) => entry.labId === labId)
    .reduce((sum, entry) => add(sum, parseRational(entry.weight) ?? zero), zero);

describe('the roll', () => {
  it('gives each lab one vote, cast by its delegates and, where the charter lets them, its deputies', () => {
    const labs = [
      lab(1, [person('per_d', 'delegate'), person('per_e', 'deputy'), person('per_r', 'researcher')]),
    ];
    const castersWith = (deputies: boolean) =>
      drawRoll(charter({ deputies }), labs, [])[0]?.casters.map(({ personId }) => personId);
    expect(castersWith(true)).toEqual(['per_d', 'per_e']);
    expect(castersWith(false)).toEqual(['per_d']);
  });

  it('gives somebody who belongs to two labs one vote among the members', () => {
    const both = person('per_b', 'researcher');
    const roll = drawRoll(charter({ voters: 'members' }), [lab(1, [both]), lab(2, [both])], []);
    expect(roll.map(({ voterId, labId }) => [voterId, labId])).toEqual([['per_b', 'lab_1']]);
  });

  it('weighs labs in proportion to what they pledged, whoever has how many members', () => {
    const pledge = fc.integer({ min: 1, max: 10_000_000 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(pledge, fc.integer({ min: 1, max: 6 })), { minLength: 2, maxLength: 5 }),
        fc.constantFrom('labs' as const, 'members' as const),
        (sizes, voters) => {
          const labs = sizes.map(([, members], n) =>
            lab(
              n,
              Array.from({ length: members }, (_, m) => person(`per_${n}_${m}`, 'delegate')),
            ),
          );
          const pledges = sizes.map(([gpuSeconds], n) => ({ labId: `lab_${n}`, gpuType: 'any', gpuSeconds }));
          const roll = drawRoll(charter({ endowments: 'contribution', voters }), labs, pledges);
          const first = weightOf(roll, 'lab_0');
          for (const [n, [gpuSeconds]] of sizes.entries()) {
            const mine = weightOf(roll, `lab_${n}`);
            const expected = rational(first.n * BigInt(gpuSeconds), first.d * BigInt(sizes[0]?.[0] ?? 1));
            expect(compare(mine, expected)).toBe(0);
          }
        },
      ),
    );
  });

  it('leaves out a lab that contributes nothing, where contributions weigh', () => {
    const labs = [lab(1, [person('per_1', 'delegate')]), lab(2, [person('per_2', 'delegate')])];
    const pledges = [{ labId: 'lab_1', gpuType: 'any', gpuSeconds: 10 }];
    const labsOn = (endowments: 'equal' | 'contribution') =>
      drawRoll(charter({ endowments }), labs, pledges).map(({ labId }) => labId);
    expect(labsOn('contribution')).toEqual(['lab_1']);
    expect(labsOn('equal')).toEqual(['lab_1', 'lab_2']);
  });

  it('takes the weight in the consortium where a vote is not about a budget', () => {
    const labs = [
      lab(1, [person('per_1', 'delegate')], { contributionWeight: 6 }),
      lab(2, [person('per_2', 'delegate')], { contributionWeight: 4, inArrears: true }),
    ];
    const roll = drawRoll(charter({ rule: { name: 'double-majority' } }), labs, []);
    expect(roll.map(({ weight, contribution, inArrears }) => [weight, contribution, inArrears])).toEqual([
      ['3', 6, false],
      ['2', 4, true],
    ]);
  });
});
