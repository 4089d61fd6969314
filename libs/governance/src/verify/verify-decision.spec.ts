import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { doubleMajority } from '../domain/tally/double-majority.js';
import { schulze } from '../domain/tally/schulze.js';
import { sealDecision } from '../domain/tally/seal-decision.js';
import { type DecisionRecord, verifyDecision } from './verify-decision.js';

const options = ['a', 'b', 'c', 'd'];
const weight = fc.constantFrom('1', '2', '7/3', '0.5');
const ranking = fc.shuffledSubarray([...options, 'none'], { minLength: 1 }).chain((order) =>
  fc.array(fc.boolean(), { minLength: order.length, maxLength: order.length }).map((joined) => {
    const tiers: string[][] = [];
    for (const [i, option] of order.entries()) {
      const last = tiers.at(-1);
      if (joined[i] && last) last.push(option);
      else tiers.push([option]);
    }
    return tiers;
  }),
);
const singleWinner: fc.Arbitrary<DecisionRecord> = fc
  .record({
    ballots: fc.array(fc.record({ weight, ranking }), { maxLength: 12 }),
    quorum: fc.constantFrom('0', '2', '5/2'),
    seed: fc.string({ maxLength: 8 }),
  })
  .map(({ ballots, ...rest }) => {
    const input = {
      options,
      defaultOption: 'none',
      ballots: ballots.map((b, i) => ({ id: `v${i}`, ...b })),
      ...rest,
    };
    return sealDecision({ format: 'beamtime-single-winner/1' as const, input, outcome: schulze(input) });
  });
const majorities: fc.Arbitrary<DecisionRecord> = fc
  .array(
    fc.record({
      votes: fc.array(
        fc.record({
          contribution: fc.constantFrom('0', '1', '5', '7/3'),
          vote: fc.constantFrom('yes' as const, 'no' as const, 'abstain' as const),
          inArrears: fc.boolean(),
        }),
        { maxLength: 9 },
      ),
      quorum: fc.nat(3),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((asked) =>
    sealDecision({
      format: 'beamtime-double-majority/1' as const,
      questions: asked.map(({ votes, quorum }, i) => {
        const input = { votes: votes.map((vote, lab) => ({ lab: `lab${lab}`, ...vote })), quorum };
        return { proposal: `p${i}`, input, outcome: doubleMajority(input) };
      }),
    }),
  );

/** Every place of a value that holds a text, a number or a truth, with another one put there. */
function tampered(value: unknown): unknown[] {
  if (typeof value === 'string')
    return [`${value}x`, value === '1' ? '2' : '1'].filter((other) => other !== value);
  if (typeof value === 'number') return [value + 1];
  if (typeof value === 'boolean') return [!value];
  if (Array.isArray(value)) {
    const without = value.map((_, i) => value.filter((__, j) => j !== i));
    return [...without, ...value.flatMap((item, i) => tampered(item).map((other) => value.with(i, other)))];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    tampered(item).map((other) => ({ ...value, [key]: other })),
  );
}

describe('the verifier of decisions without a budget', () => {
  it('accepts every record that the rules make', () => {
    fc.assert(
      fc.property(fc.oneof(singleWinner, majorities), (record) => {
        expect(verifyDecision(record)).toMatchObject({ valid: true });
      }),
      { numRuns: 500 },
    );
  });

  it('rejects every record in which one text, number or entry was changed', () => {
    let tamperings = 0;
    fc.assert(
      fc.property(fc.oneof(singleWinner, majorities), (record) => {
        for (const forged of tampered(record)) {
          tamperings += 1;
          expect(verifyDecision(forged as DecisionRecord).valid).toBe(false);
        }
      }),
      { numRuns: 120 },
    );
    expect(tamperings).toBeGreaterThan(10_000);
  });

  it('rejects another outcome also when the forger seals it again', () => {
    fc.assert(
      fc.property(fc.oneof(singleWinner, majorities), (record) => {
        const { sha256: _, ...body } = record;
        const outcomes =
          body.format === 'beamtime-single-winner/1'
            ? tampered({
                winner: body.outcome.winner,
                level: body.outcome.level,
                preferences: body.outcome.preferences,
              }).map((forged) => ({ ...body, outcome: { ...body.outcome, ...(forged as object) } }))
            : body.questions.flatMap((question, i) =>
                tampered(question.outcome).map((outcome) => ({
                  ...body,
                  questions: body.questions.with(i, { ...question, outcome: outcome as never }),
                })),
              );
        for (const forged of outcomes) {
          expect(verifyDecision(sealDecision(forged) as DecisionRecord).valid).toBe(false);
        }
      }),
      { numRuns: 100 },
    );
  });
});
