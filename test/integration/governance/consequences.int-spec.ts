import { AccessServiceModule, accessSchemas } from '@beamtime/access-app';
import {
  checkBooks,
  createProposal,
  getResult,
  gpuSecondsReport,
  listAdoptedSuites,
  releaseSuite,
} from '@beamtime/contracts';
import { schedulerSchemas, schedulerServiceModule } from '@beamtime/scheduler-app';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Consortium, type LabForTest } from './consortium.js';

let consortium: Consortium;
let a: LabForTest;
let b: LabForTest;
beforeAll(async () => {
  consortium = await Consortium.open({
    modules: [AccessServiceModule, schedulerServiceModule],
    schemas: [...accessSchemas, ...schedulerSchemas],
  });
  a = await consortium.lab('lab-a');
  b = await consortium.lab('lab-b');
});
afterAll(() => consortium.close());

const sql = (text: string) => consortium.transactor.do((tx) => tx.rows<Record<string, unknown>>(text));

/** Every consumer has seen every fact, and none was parked. */
async function delivered(): Promise<void> {
  const waiting = `SELECT 1 FROM platform.outbox o JOIN platform.outbox_cursor c ON (c.xid, c.id) < (o.xid, o.id)`;
  while ((await sql(waiting)).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await sql('SELECT consumer, error FROM platform.outbox_parked')).toEqual([]);
}

describe('what a decided round causes', () => {
  it('is a reservation for each adopted suite in the books, once, and its return on release', async () => {
    const round = await consortium.round({ deliberation: false });
    const params = { roundId: round.roundId };
    await consortium.pledge(round, a, 3_000);
    await consortium.pledge(round, b, 2_000);
    await consortium.move(round, 'proposing');
    const one = await consortium.proposeSuite(round, a, 'suite-one', { models: 2 });
    await consortium.proposeSuite(round, b, 'suite-two', { models: 4 });
    await consortium.move(round, 'voting');
    await consortium.vote(a.delegate, round, { kind: 'approval', approve: [one] });
    await consortium.vote(b.delegate, round, { kind: 'approval', approve: [one] });
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    await delivered();
    // At least once: the same facts again change nothing.
    await sql('UPDATE platform.outbox_cursor SET xid = 0, id = 0');
    await delivered();

    const office = consortium.secretariat.api;
    const [suite] = (await office.call(listAdoptedSuites, { query: params })).items;
    const report = await office.call(gpuSecondsReport, {});
    expect(report.rounds).toMatchObject([{ funded: 5_000, reserved: 2_000, left: 0 }]);
    const reserved = report.accounts.find(({ account }) => account.includes(suite?.suiteId ?? 'none'));
    expect(reserved).toMatchObject({ received: 2_000, balance: 2_000 });
    const shares = await sql(
      'SELECT lab_id, gpu_seconds::int FROM scheduling.pledge ORDER BY gpu_seconds DESC',
    );
    expect(shares).toEqual([
      { lab_id: a.labId, gpu_seconds: 3_000 },
      { lab_id: b.labId, gpu_seconds: 2_000 },
    ]);
    await office.call(releaseSuite, { params: { suiteId: suite?.suiteId ?? '' }, body: { reason: 'Done' } });
    await delivered();
    const after = await office.call(gpuSecondsReport, {});
    const account = after.accounts.find((one) => one.account === reserved?.account);
    expect(account?.balance ?? 0).toBe(0);
    expect((await office.call(checkBooks, {})).ok).toBe(true);
  });

  it('without any budget is a policy that access enforces, and nothing in the books', async () => {
    const round = await consortium.round({ rule: { name: 'double-majority' }, deliberation: false });
    await consortium.move(round, 'proposing');
    const { proposalId, policyId } = await a.researcher.api.call(createProposal, {
      params: { roundId: round.roundId },
      body: {
        labId: a.labId,
        title: 'No gradients',
        body: {
          kind: 'policy',
          rule: { kind: 'deny-scope', scope: 'gradients', models: {}, exceptLabs: [] },
          replaces: [],
        },
      },
    });
    await consortium.move(round, 'voting');
    for (const lab of [a, b]) {
      await consortium.vote(lab.delegate, round, { kind: 'yes-no', votes: { [proposalId]: 'yes' } });
    }
    await consortium.move(round, 'counting');
    await consortium.decided(round);
    await delivered();
    const result = await consortium.anonymous.call(getResult, { params: { roundId: round.roundId } });
    expect(result.winners.map((winner) => winner.policyId)).toEqual([policyId]);
    const enforced = await sql(`SELECT 1 FROM access.policy WHERE policy_id = '${policyId}'`);
    expect(enforced).toHaveLength(1);
    expect((await consortium.secretariat.api.call(checkBooks, {})).ok).toBe(true);
  });
});
