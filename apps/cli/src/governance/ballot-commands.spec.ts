import type { ProposalView } from '@beamtime/contracts';
import { describe, expect, it } from 'vitest';
import { ballotOf } from './ballot-commands.js';
import { gpuSecondsOf } from './find-things.js';
import { bodyOf } from './proposal-commands.js';

const motion = (proposalId: string, title: string): ProposalView => ({
  proposalId,
  roundId: 'rnd_1',
  kind: 'motion',
  state: 'open',
  labId: 'lab_1',
  proposedBy: 'per_1',
  title,
  version: 1,
  body: { kind: 'motion', text: 'x' },
  suiteId: null,
  policyId: null,
  gpuType: null,
  gpuSeconds: null,
  exclusiveGroup: null,
  flagship: false,
  createdAt: '2027-01-01T00:00:00Z',
  amendedAt: null,
});
const proposals = [
  motion('prp_1', 'alpha'),
  motion('prp_2', 'beta'),
  motion('prp_3', 'same'),
  motion('prp_4', 'same'),
];

describe('the ballot that options spell out', () => {
  it('takes names and ids', () => {
    expect(ballotOf({ approve: 'alpha, prp_2' }, proposals)).toEqual({
      kind: 'approval',
      approve: ['prp_1', 'prp_2'],
    });
    expect(ballotOf({ approve: '' }, proposals)).toEqual({ kind: 'approval', approve: [] });
    expect(ballotOf({ points: 'alpha=3,beta=0' }, proposals)).toEqual({
      kind: 'points',
      points: { prp_1: 3, prp_2: 0 },
    });
    expect(ballotOf({ rank: 'beta,alpha=none' }, proposals)).toEqual({
      kind: 'ranking',
      ranking: [['prp_2'], ['prp_1', 'none']],
    });
    expect(ballotOf({ yes: 'alpha', no: 'beta' }, proposals)).toEqual({
      kind: 'yes-no',
      votes: { prp_1: 'yes', prp_2: 'no' },
    });
    expect(ballotOf({ approve: 'alpha', flagshipNo: 'beta' }, proposals)).toEqual({
      kind: 'approval',
      approve: ['prp_1'],
      flagship: { prp_2: 'no' },
    });
  });

  it.each([
    [{ approve: 'gamma' }, 'No proposal gamma; there are alpha, beta, same, same'],
    [{ approve: 'same' }, 'Several proposals are called same; use the id (prp_…)'],
    [{ points: 'alpha=half' }, 'alpha=half gives no points; write name=3'],
    [
      { approve: 'alpha', points: 'beta=1' },
      'Use one of --approve, --points, --rank, or --yes/--no/--abstain',
    ],
    [{ yes: 'alpha', no: 'alpha' }, 'alpha is named twice'],
    [{}, 'Say how you vote: --approve, --points, --rank, or --yes/--no/--abstain'],
  ])('says what is wrong with %o', (wish, message) => {
    expect(() => ballotOf(wish, proposals)).toThrow(message);
  });
});

describe('GPU time', () => {
  it('is written in hours, minutes or seconds', () => {
    expect(['40h', '1.5h', '90m', '3600s', '0s'].map(gpuSecondsOf)).toEqual([
      144_000, 5_400, 5_400, 3_600, 0,
    ]);
    for (const wrong of ['40', 'h', '-1h', '1d', '1e9h', '99999999999999h']) {
      expect(() => gpuSecondsOf(wrong)).toThrow(/is no GPU time/);
    }
  });
});

describe('a proposal file', () => {
  it('is a body where it names its kind, and a suite design otherwise', () => {
    expect(bodyOf({ kind: 'motion', text: 'x' })).toEqual({ kind: 'motion', text: 'x' });
    expect(bodyOf({ name: 'suite' })).toEqual({ kind: 'suite', design: { name: 'suite' } });
  });
});
