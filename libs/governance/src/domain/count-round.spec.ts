import { charterSchema } from '@beamtime/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CountedBallot } from './count-outcome.js';
import { countRound } from './count-round.js';
import type { FrozenProposal, FrozenRound, RollEntry } from './frozen-round.js';
import type { TallyCertificate } from './tally/certificate.js';

const suite = (
  proposalId: string,
  gpuSeconds: number,
  more: Partial<FrozenProposal> = {},
): FrozenProposal => ({
  proposalId,
  version: 1,
  kind: 'suite',
  labId: 'lab_1',
  title: proposalId.toUpperCase(),
  suiteId: `sui_${proposalId}`,
  policyId: null,
  gpuType: 'any',
  gpuSeconds,
  exclusiveGroup: null,
  flagship: false,
  body: {},
  ...more,
});
const voter = (n: number, contribution = 1, inArrears = false): RollEntry => ({
  voterId: `lab_${n}`,
  labId: `lab_${n}`,
  label: `Lab ${n}`,
  weight: '1',
  contribution,
  inArrears,
  casters: [],
});
function frozenWith(
  charter: Parameters<typeof charterSchema.parse>[0],
  budget: number,
  proposals: readonly FrozenProposal[],
  roll: readonly RollEntry[],
): FrozenRound {
  return {
    format: 'beamtime-frozen-round/1',
    roundId: 'rnd_1',
    title: 'Round',
    frozenAt: '2027-01-01T00:00:00.000Z',
    charter: charterSchema.parse(charter),
    budgets: budget === 0 ? [] : [{ gpuType: 'any', gpuSeconds: budget }],
    pledges: [],
    proposals,
    roll,
    seedCommitment: '',
  };
}
const approve = (
  n: number,
  ids: readonly string[],
  flagship?: Record<string, 'yes' | 'no'>,
): CountedBallot => ({
  voterId: `lab_${n}`,
  content: { kind: 'approval', approve: ids, ...(flagship === undefined ? {} : { flagship }) },
});
const winners = (outcome: ReturnType<typeof countRound>) =>
  outcome.winners.map(({ proposalId }) => proposalId);

describe('the count of a budget', () => {
  const ids = ['a', 'b', 'c', 'd'];
  const ballots = fc.array(fc.subarray(ids), { minLength: 1, maxLength: 6 });
  const costs = fc.tuple(...ids.map(() => fc.integer({ min: 1, max: 60 })));

  it('never spends more than there is, decides on every proposal once, and does not care in which order ballots lie', () => {
    fc.assert(
      fc.property(ballots, costs, fc.integer({ min: 60, max: 200 }), (approvals, prices, budget) => {
        const proposals = ids.map((id, index) => suite(id, prices[index] ?? 1));
        const roll = approvals.map((_, n) => voter(n));
        const frozen = frozenWith({}, budget, proposals, roll);
        const cast = approvals.map((choice, n) => approve(n, choice));
        const outcome = countRound(frozen, cast, 'seed');
        expect(outcome.budgets[0]?.spentGpuSeconds).toBeLessThanOrEqual(budget);
        const settled = [...outcome.winners, ...outcome.losers].map(({ proposalId }) => proposalId);
        expect(settled.sort()).toEqual(ids);
        expect(countRound(frozen, [...cast].reverse(), 'seed')).toEqual(outcome);
      }),
      { numRuns: 20 },
    );
  });

  it('gives a group of labs its share of the budget, which greedy approval would not', () => {
    const proposals = [suite('a', 50), suite('b', 50), suite('c', 25)];
    const roll = [1, 2, 3, 4].map((n) => voter(n));
    const cast = [approve(1, ['a', 'b']), approve(2, ['a', 'b']), approve(3, ['a', 'b']), approve(4, ['c'])];
    expect(winners(countRound(frozenWith({}, 100, proposals, roll), cast, 's'))).toContain('c');
    const greedy = frozenWith({ rule: { name: 'greedy' } }, 100, proposals, roll);
    expect(winners(countRound(greedy, cast, 's'))).not.toContain('c');
  });

  it('raises endowments in steps that suit GPU-seconds, so that Add1 ends soon', () => {
    const proposals = [suite('a', 90_000_000), suite('b', 30_000_000)];
    const roll = [voter(1), voter(2), voter(3)];
    const cast = [approve(1, ['a']), approve(2, ['a']), approve(3, ['b'])];
    const outcome = countRound(frozenWith({}, 120_000_000, proposals, roll), cast, 's');
    expect(winners(outcome).sort()).toEqual(['a', 'b']);
    expect((outcome.certificate as TallyCertificate).raises).toBeLessThan(5_000);
  });
});

describe('a flagship', () => {
  const proposals = [
    suite('big', 60, { flagship: true, exclusiveGroup: 'x' }),
    suite('small', 30, { exclusiveGroup: 'x' }),
    suite('other', 40),
  ];
  const frozen = frozenWith({ flagship: true }, 100, proposals, [voter(1, 5), voter(2, 5), voter(3, 1)]);

  it('that two thirds of labs and contributions want comes first, and the rest is shared out', () => {
    const outcome = countRound(
      frozen,
      [
        approve(1, ['small'], { big: 'yes' }),
        approve(2, ['small'], { big: 'yes' }),
        approve(3, ['other'], { big: 'no' }),
      ],
      's',
    );
    expect(outcome.winners.map(({ proposalId, how }) => [proposalId, how])).toEqual([
      ['big', 'flagship'],
      ['other', 'rule'],
    ]);
    expect(outcome.losers).toEqual([
      { proposalId: 'small', reason: 'Another variant became the flagship: BIG' },
    ]);
  });

  it('without the double majority stands like every other suite', () => {
    const outcome = countRound(
      frozen,
      [
        approve(1, ['big'], { big: 'yes' }),
        approve(2, ['small', 'other']),
        approve(3, ['other'], { big: 'no' }),
      ],
      's',
    );
    expect(outcome.winners.every(({ how }) => how === 'rule')).toBe(true);
  });
});

describe('a single winner', () => {
  const motion = (id: string) =>
    suite(id, 0, { kind: 'motion', suiteId: null, gpuType: null, gpuSeconds: null });
  const rank = (n: number, ...ranking: string[][]): CountedBallot => ({
    voterId: `lab_${n}`,
    content: { kind: 'ranking', ranking },
  });
  const frozen = (quorum = 0) =>
    frozenWith(
      { rule: { name: 'schulze', quorum } },
      0,
      [motion('a'), motion('b')],
      [1, 2, 3].map((n) => voter(n)),
    );

  it('beats every other option', () => {
    const outcome = countRound(frozen(), [rank(1, ['a'], ['b']), rank(2, ['a']), rank(3, ['b'])], 's');
    expect(winners(outcome)).toEqual(['a']);
    expect(outcome.losers[0]?.reason).toMatch(/ranked it above none of these|Beaten by A/);
  });

  it('must beat "none of these", which those who do not rank an option prefer to it', () => {
    const outcome = countRound(frozen(), [rank(1, ['a']), rank(2, ['none']), rank(3, ['none'], ['a'])], 's');
    expect(outcome.outcome).toBe('nothing-adopted');
    expect(outcome.losers.find(({ proposalId }) => proposalId === 'a')?.reason).toBe(
      '1 ranked it above none of these, 2 below',
    );
  });

  it('needs the quorum of votes above "none of these"', () => {
    expect(winners(countRound(frozen(2), [rank(1, ['a'])], 's'))).toEqual([]);
    expect(winners(countRound(frozen(1), [rank(1, ['a'])], 's'))).toEqual(['a']);
  });
});

describe('a double majority', () => {
  const question = suite('q', 0, { kind: 'motion', suiteId: null, gpuType: null, gpuSeconds: null });
  const vote = (n: number, choice: 'yes' | 'no' | 'abstain'): CountedBallot => ({
    voterId: `lab_${n}`,
    content: { kind: 'yes-no', votes: { q: choice } },
  });
  const count = (roll: RollEntry[], cast: CountedBallot[], quorum = 0) =>
    countRound(frozenWith({ rule: { name: 'double-majority', quorum } }, 0, [question], roll), cast, 's');

  it('asks for two thirds of the labs and two thirds of the contributions', () => {
    const roll = [voter(1, 100), voter(2, 10), voter(3, 10)];
    expect(winners(count(roll, [vote(1, 'yes'), vote(2, 'yes'), vote(3, 'no')]))).toEqual(['q']);
    const rich = count(roll, [vote(1, 'no'), vote(2, 'yes'), vote(3, 'yes')]);
    expect(rich.losers[0]?.reason).toMatch(/less than two thirds of the contributions/);
    const many = count(roll, [vote(1, 'yes'), vote(2, 'no'), vote(3, 'no')]);
    expect(many.losers[0]?.reason).toMatch(/fewer than two thirds of the labs/);
  });

  it('counts no lab in arrears, and needs its quorum of labs', () => {
    const roll = [voter(1), voter(2), voter(3, 50, true)];
    expect(winners(count(roll, [vote(1, 'yes'), vote(2, 'yes'), vote(3, 'no')]))).toEqual(['q']);
    expect(winners(count(roll, [vote(1, 'yes'), vote(2, 'abstain')], 2))).toEqual([]);
  });
});
