import { type JobId } from '@beamtime/kernel';
import { newId } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkBooks } from '../ledger/check-books.js';
import { Ledger } from '../ledger/ledger.js';
import { accessSchema } from '../postgres/access-schema.js';
import { ChargeJobs } from './charge-jobs.js';
import { FundRound } from './fund-round.js';
import { LendToOperations } from './lend-to-operations.js';
import { ReleaseSuite } from './release-suite.js';
import { reportGpuSeconds } from './report-gpu-seconds.js';
import { ReserveSuites } from './reserve-suites.js';

let platform: TestPlatform;
let ledger: Ledger;
beforeAll(async () => {
  platform = await platformForTest([accessSchema]);
  ledger = new Ledger(platform.transactor);
});
afterAll(() => platform.close());

describe('GPU-seconds from pledge to job', () => {
  const roundId = newId('Round');
  const [small, large] = [newId('Suite'), newId('Suite')] as const;
  const [labA, labB] = [newId('Lab'), newId('Lab')] as const;
  const charge = () => new ChargeJobs(ledger);
  const settle = (jobId: JobId, usedGpuSeconds: number) =>
    platform.transactor.do((tx) => charge().settle(tx, { jobId, usedGpuSeconds }));
  const hold = (jobId: JobId, suiteId: string, gpuSeconds: number) =>
    platform.transactor.run((tx) =>
      charge().hold(tx, { jobId, account: { kind: 'suite', suiteId }, gpuSeconds }),
    );

  it('gathers pledges in the pool, reserves for each suite, and leaves the rest to operations', async () => {
    const pledges = [
      { labId: labA, gpuSeconds: 600 },
      { labId: labB, gpuSeconds: 400 },
    ];
    const adopted = [
      { proposalId: newId('Proposal'), suiteId: small, gpuSeconds: 200 },
      { proposalId: newId('Proposal'), suiteId: large, gpuSeconds: 500 },
    ];
    // Facts come at least once.
    for (let time = 0; time < 2; time++) {
      await platform.transactor.do((tx) => new FundRound(ledger).execute(tx, { roundId, pledges }));
      await platform.transactor.do((tx) => new ReserveSuites(ledger).execute(tx, { roundId, adopted }));
    }
    const report = await reportGpuSeconds(platform.transactor.read);
    expect(report.rounds).toEqual([
      { round: `round:${roundId}`, funded: 1_000, reserved: 700, toOperations: 300, left: 0 },
    ]);
    expect((await ledger.balance('gpu_seconds', 'operations'))?.available).toBe(300);
  });

  it('holds for a job, charges what it used, and gives back the rest', async () => {
    const jobId = newId('Job');
    expect(await hold(jobId, small, 150)).toEqual({ ok: true, value: undefined });
    expect(await hold(jobId, small, 150)).toEqual({ ok: true, value: undefined });
    expect(await hold(newId('Job'), small, 51)).toMatchObject({
      error: { code: 'scheduling.insufficient-reservation', facts: { available: 50 } },
    });
    expect(await hold(newId('Job'), newId('Suite'), 1)).toMatchObject({
      error: { code: 'scheduling.insufficient-reservation' },
    });
    expect(await settle(jobId, 90.2)).toEqual({ posted: 91, returned: 59, uncovered: 0 });
    expect(await settle(jobId, 90.2)).toEqual({ posted: 91, returned: 59, uncovered: 0 });
  });

  it('charges an overrun as far as the account reaches, and says what nobody pays', async () => {
    const jobId = newId('Job');
    await hold(jobId, small, 100);
    expect(await settle(jobId, 120)).toEqual({ posted: 109, returned: 0, uncovered: 11 });
    const noted = await platform.transactor.read.rows(
      `SELECT details FROM platform.audit_entry WHERE action = 'ledger.uncovered'`,
    );
    expect(noted).toEqual([{ details: { unit: 'gpu_seconds', account: `suite:${small}`, amount: 11 } }]);
  });

  it('passes what a released suite did not need to operations, also what jobs give back later', async () => {
    const jobId = newId('Job');
    await hold(jobId, large, 100);
    const release = () =>
      platform.transactor.do((tx) => new ReleaseSuite(ledger).execute(tx, { suiteId: large }));
    await release();
    await release();
    expect((await ledger.balance('gpu_seconds', 'operations'))?.available).toBe(700);
    expect(await hold(newId('Job'), large, 1)).toMatchObject({
      error: { code: 'access.allocation-inactive' },
    });
    await settle(jobId, 30);
    expect((await ledger.balance('gpu_seconds', 'operations'))?.available).toBe(770);
    expect((await ledger.balance('gpu_seconds', `suite:${large}`))?.balance).toBe(0);
  });

  it('takes what a lab lends for operations, once', async () => {
    const lend = new LendToOperations(ledger, platform.transactor);
    const delegate = { personId: newId('Person'), memberships: [{ labId: labA, role: 'delegate' }] };
    const loan = { loanId: 'spring', labId: labA, gpuSeconds: 30, reason: 'a new cluster' };
    expect(await lend.execute(delegate, loan)).toEqual({ ok: true, value: { available: 800 } });
    expect(await lend.execute(delegate, loan)).toEqual({ ok: true, value: { available: 800 } });
    expect(await lend.execute(delegate, { ...loan, gpuSeconds: 31 })).toMatchObject({
      error: { code: 'access.id-reused' },
    });
    expect(await lend.execute(delegate, { ...loan, loanId: 'other', labId: labB })).toMatchObject({
      error: { code: 'auth.forbidden' },
    });
  });

  it('accounts for all of it: held = used + returned', async () => {
    const { total, accounts } = await reportGpuSeconds(platform.transactor.read);
    expect(total.held).toBe(total.used + total.returned + total.stillHeld);
    for (const one of accounts) {
      expect(one.held).toBe(one.used + one.returned + one.stillHeld);
      expect(one.received).toBe(one.passedOn + one.used + one.balance);
    }
    const books = await checkBooks(platform.transactor.read);
    expect(books.ok).toBe(true);
    expect(books.totals.find(({ unit }) => unit === 'gpu_seconds')?.issued).toBe(1_030);
  });
});
