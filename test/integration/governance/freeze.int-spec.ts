import { createHash } from 'node:crypto';
import {
  amendCharter,
  amendProposal,
  changeLab,
  createProposal,
  getFrozen,
  getResult,
  getRoll,
  grantLabRole,
  listBallots,
  pledge,
  revokeLabRole,
  withdrawProposal,
} from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Consortium, codeOf, designOf, type LabForTest } from './consortium.js';

let consortium: Consortium;
let a: LabForTest;
let b: LabForTest;
beforeAll(async () => {
  consortium = await Consortium.open();
  a = await consortium.lab('lab-a');
  b = await consortium.lab('lab-b');
});
afterAll(() => consortium.close());

describe('what opening the vote freezes', () => {
  it('is untouched by later changes of memberships, weights, pledges, charter and proposals', async () => {
    const round = await consortium.round({ endowments: 'contribution' });
    const params = { roundId: round.roundId };
    await consortium.pledge(round, a, 3_000);
    await consortium.pledge(round, b, 1_000);
    await consortium.move(round, 'proposing');
    const one = await consortium.proposeSuite(round, a, 'suite-one', { models: 3 });
    const two = await consortium.proposeSuite(round, b, 'suite-two', { models: 2 });
    await consortium.move(round, 'deliberating');
    const opened = await consortium.move(round, 'voting');
    const office = consortium.secretariat.api;
    const text = async () => (await office.raw(getFrozen, { params })).text();
    const before = { roll: await office.call(getRoll, { params }), frozen: await text() };
    expect(createHash('sha256').update(before.frozen).digest('hex')).toBe(opened.frozen?.sha256);
    expect(before.roll.roll.map(({ weight }) => weight)).toEqual(['3', '1']);

    // Everything changes behind the vote's back, where the facility still allows it at all.
    const newLab = await consortium.lab('lab-new');
    await office.call(changeLab, {
      params: { lab: 'lab-a' },
      body: { contributionWeight: 99, inArrears: true },
    });
    await office.call(revokeLabRole, {
      params: { lab: 'lab-a', personId: a.delegate.personId, role: 'delegate' },
    });
    await office.call(grantLabRole, {
      params: { lab: 'lab-a' },
      body: { personId: a.researcher.personId, role: 'delegate' },
    });
    const refusals = await Promise.all([
      codeOf(consortium.pledge(round, b, 9_000)),
      codeOf(consortium.proposeSuite(round, b, 'suite-late')),
      codeOf(
        office.call(amendCharter, { params, body: { charter: { rule: { name: 'greedy' } }, reason: 'x' } }),
      ),
      codeOf(
        b.researcher.api.call(amendProposal, {
          params: { proposalId: two },
          body: { body: { kind: 'suite', design: designOf('suite-two', { models: 1 }) }, note: 'cheaper' },
        }),
      ),
      codeOf(b.researcher.api.call(withdrawProposal, { params: { proposalId: two }, body: { reason: 'x' } })),
    ]);
    expect(refusals).toEqual(Array.from({ length: 5 }, () => 'governance.round-not-open'));
    // Even past the rules, by somebody with the database in hands:
    await consortium.transactor.do(async (tx) => {
      await tx.rows(`UPDATE governance.proposal SET gpu_seconds = 1, state = 'withdrawn' WHERE id = $1`, [
        two,
      ]);
      await tx.rows('UPDATE governance.pledge SET gpu_seconds = 1 WHERE round_id = $1', [round.roundId]);
    });
    await expect(
      consortium.transactor.do((tx) =>
        tx.rows(`UPDATE governance.round SET charter = '{}' WHERE id = $1`, [round.roundId]),
      ),
    ).rejects.toThrow(/is frozen/);
    await expect(
      consortium.transactor.do((tx) =>
        tx.rows(`UPDATE governance.roll_entry SET weight = '9' WHERE round_id = $1`, [round.roundId]),
      ),
    ).rejects.toThrow(/append-only/);

    expect({ roll: await office.call(getRoll, { params }), frozen: await text() }).toEqual(before);
    // The delegate of the frozen roll still votes; neither the new delegate nor the new lab does.
    const ballot = { kind: 'approval' as const, approve: [one] };
    await consortium.vote(a.delegate, round, ballot);
    expect(await codeOf(consortium.vote(a.researcher, round, ballot))).toBe('governance.not-on-roll');
    expect(await codeOf(consortium.vote(newLab.delegate, round, ballot))).toBe('governance.not-on-roll');
    await consortium.vote(b.delegate, round, { kind: 'approval', approve: [two] });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params });
    expect(result.budgets).toEqual([{ gpuType: 'any', gpuSeconds: 4_000, spentGpuSeconds: 3_000 }]);
    expect(result.winners.map(({ proposalId }) => proposalId)).toEqual([one]);
    expect((await consortium.anonymous.call(listBallots, { params })).total).toBe(2);
  });

  it('commits to a seed whose hash is public at once and which follows with the count', async () => {
    const round = await consortium.round();
    await consortium.pledge(round, b, 5_000);
    await consortium.move(round, 'proposing');
    const one = await consortium.proposeSuite(round, b, 'suite-seed');
    await consortium.move(round, 'deliberating');
    const opened = await consortium.move(round, 'voting');
    await consortium.vote(b.delegate, round, { kind: 'approval', approve: [one] });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(createHash('sha256').update(result.seed).digest('hex')).toBe(opened.frozen?.seedCommitment);
  });

  it('needs a proposal, a budget and somebody to vote', async () => {
    const round = await consortium.round({ deliberation: false });
    await consortium.move(round, 'proposing');
    expect(await codeOf(consortium.move(round, 'voting'))).toBe('governance.nothing-to-vote-on');
    expect(await codeOf(consortium.move(round, 'deliberating'))).toBe('state.illegal-transition');
    expect(await codeOf(consortium.move(round, 'counting'))).toBe('state.illegal-transition');
    const motion = b.researcher.api.call(createProposal, {
      params: { roundId: round.roundId },
      body: { labId: b.labId, title: 'A motion', body: { kind: 'motion', text: 'x' } },
    });
    expect(await codeOf(motion)).toBe('governance.invalid-proposal');
    const foreign = a.researcher.api.call(pledge, {
      params: { roundId: round.roundId },
      body: { labId: b.labId, gpuSeconds: 5 },
    });
    // The researcher of lab a has meanwhile become its delegate; of lab b nobody made them one.
    expect(await codeOf(foreign)).toBe('auth.forbidden');
  });
});
