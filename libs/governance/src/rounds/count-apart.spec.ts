import { charterSchema } from '@beamtime/contracts';
import { describe, expect, it } from 'vitest';
import { countApart } from './count-apart.js';
import { type ClosedRound, countClosedRound } from './count-closed-round.js';

const suites = Array.from({ length: 20 }, (_, n) => `suite-${n}`);
const voters = Array.from({ length: 200 }, (_, n) => `lab_${n}`);
const round: ClosedRound = {
  id: 'rnd_1',
  frozen: {
    format: 'beamtime-frozen-round/1',
    roundId: 'rnd_1',
    title: 'Round',
    frozenAt: '2027-01-01T00:00:00.000Z',
    charter: charterSchema.parse({ rule: { name: 'equal-shares' } }),
    budgets: [{ gpuType: 'any', gpuSeconds: 100_000 }],
    pledges: [],
    proposals: suites.map((proposalId, n) => ({
      proposalId,
      version: 1,
      kind: 'suite',
      labId: 'lab_1',
      title: `Suite ${n}`,
      suiteId: `sui_${n}`,
      policyId: null,
      gpuType: 'any',
      gpuSeconds: 7_001 + 137 * n,
      exclusiveGroup: null,
      flagship: false,
      body: {},
    })),
    roll: voters.map((voterId) => ({
      voterId,
      labId: voterId,
      label: voterId,
      weight: '1',
      contribution: 1,
      inArrears: false,
      casters: [],
    })),
    seedCommitment: '',
  },
  frozenSha256: '',
  seed: 'seed',
  ballots: voters.map((voterId, v) => ({
    voterId,
    content: { kind: 'approval', approve: suites.filter((_, s) => (v * 7 + s * 3) % 5 < 2) },
  })),
};

const running = new AbortController().signal;

describe('a count in a thread of its own', () => {
  it('publishes what a count in this thread publishes', async () => {
    const counted = await countApart(round, running);
    expect(counted.result.winners.length).toBeGreaterThan(0);
    expect(counted).toEqual(countClosedRound(round, new Date(counted.result.decidedAt)));
  });

  it('leaves this thread free while it counts', async () => {
    let turns = 0;
    let counting = true;
    const turn = () => {
      turns += 1;
      if (counting) setImmediate(turn);
    };
    turn();
    await countApart(round, running);
    counting = false;
    // In this thread a count is one turn of the event loop, however long it takes.
    expect(turns).toBeGreaterThan(10);
  });

  it('fails as the count fails', async () => {
    const unknown = { ...round, ballots: [{ voterId: 'lab_0', content: { kind: 'ranking', ranking: [] } }] };
    const why = (() => {
      try {
        countClosedRound(unknown as unknown as ClosedRound, new Date(0));
      } catch (error) {
        return (error as Error).message;
      }
      throw new Error('the count in this thread was expected to fail');
    })();
    await expect(countApart(unknown as unknown as ClosedRound, running)).rejects.toThrow(why);
  });

  it('ends at once when it is stopped', async () => {
    const stopping = new AbortController();
    const counting = countApart(round, stopping.signal);
    stopping.abort();
    await expect(counting).rejects.toThrow('aborted');
    await expect(countApart(round, stopping.signal)).rejects.toThrow('aborted');
  });
});
