import { charterSchema } from '@beamtime/contracts';
import { describe, expect, it } from 'vitest';
import { type BallotContent, checkBallot } from './check-ballot.js';
import type { FrozenProposal, FrozenRound } from './frozen-round.js';

const proposal = (proposalId: string, flagship = false): FrozenProposal => ({
  proposalId,
  version: 1,
  kind: 'suite',
  labId: 'lab_1',
  title: proposalId,
  suiteId: `sui_${proposalId}`,
  policyId: null,
  gpuType: 'any',
  gpuSeconds: 1,
  exclusiveGroup: null,
  flagship,
  body: {},
});

function frozenWith(charter: Parameters<typeof charterSchema.parse>[0]): FrozenRound {
  return {
    format: 'beamtime-frozen-round/1',
    roundId: 'rnd_1',
    title: 'Round',
    frozenAt: '2027-01-01T00:00:00.000Z',
    charter: charterSchema.parse(charter),
    budgets: [],
    pledges: [],
    proposals: [proposal('a'), proposal('b'), proposal('c', true)],
    roll: [],
    seedCommitment: '',
  };
}

const verdict = (charter: Parameters<typeof charterSchema.parse>[0], content: BallotContent): string => {
  const checked = checkBallot(frozenWith(charter), content);
  return checked.ok ? 'fits' : checked.error.detail;
};
const schulze = { rule: { name: 'schulze' } };

describe('a ballot', () => {
  it('fits when it names each proposal of the round at most once', () => {
    expect(verdict({}, { kind: 'approval', approve: ['a', 'c'] })).toBe('fits');
    expect(verdict({}, { kind: 'approval', approve: [] })).toBe('fits');
    expect(verdict({}, { kind: 'approval', approve: ['a', 'a'] })).toBe('a is named twice');
    expect(verdict({}, { kind: 'approval', approve: ['x'] })).toBe('x is not a proposal of this round');
    expect(verdict({}, { kind: 'approval', approve: ['none'] })).toBe('none is not a proposal of this round');
  });

  it('is of the kind that the charter asks for', () => {
    expect(verdict({}, { kind: 'ranking', ranking: [['a']] })).toBe(
      'This round takes approval ballots, not ranking',
    );
    expect(verdict(schulze, { kind: 'ranking', ranking: [['a', 'none'], ['b']] })).toBe('fits');
    expect(verdict(schulze, { kind: 'ranking', ranking: [['a'], ['b', 'a']] })).toBe('a is named twice');
  });

  it('votes on a flagship only where one is decided, and only for candidates', () => {
    const approve = (flagship: Record<string, 'yes'>): BallotContent => ({
      kind: 'approval',
      approve: [],
      flagship,
    });
    expect(verdict({}, approve({ c: 'yes' }))).toBe('This round decides no flagship');
    expect(verdict({ flagship: true }, approve({ c: 'yes' }))).toBe('fits');
    expect(verdict({ flagship: true }, approve({ a: 'yes' }))).toBe('a does not stand as flagship');
  });
});
