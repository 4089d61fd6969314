import { cancelJob, listQuotas, type QuotaTarget, setQuota } from '@beamtime/contracts';
import { newId } from '@beamtime/platform';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { refusal, type SchedulingForTest, schedulingForTest } from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest();
  // It takes nothing: what is submitted stays unfinished.
  await (await at.cluster('full', { gpus: 1 })).register();
});
afterAll(() => at.close());

const set = (target: QuotaTarget, maxUnfinishedJobs: number | null) =>
  at.secretariat.call(setQuota, { body: { target, maxUnfinishedJobs } });
const cancel = (jobId: string) => at.researcher.call(cancelJob, { params: { jobId }, body: {} });

it('of many submissions at once a quota lets as many pass as it has room for, and a job that ends makes room', async () => {
  const lab: QuotaTarget = { scope: 'lab', subject: at.labId };
  await set(lab, 3);
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, () =>
      at.submit().then(
        (job) => job.jobId as string,
        () => null,
      ),
    ),
  );
  const jobs = outcomes.filter((jobId) => jobId !== null);
  expect(jobs).toHaveLength(3);
  expect(await refusal(at.submit())).toBe('scheduling.quota-exceeded');
  await expect(at.submit()).rejects.toThrow(`quota of the lab ${at.labId}: 3 unfinished jobs`);
  const { items } = await at.researcher.call(listQuotas, {});
  expect(items).toMatchObject([{ ...lab, maxUnfinishedJobs: 3, unfinishedJobs: 3 }]);
  await cancel(jobs[0] as string);
  const next = await at.submit({ requestKey: 'in the room that is left' });
  // The same wish again is the same job, and no second one.
  expect((await at.submit({ requestKey: 'in the room that is left' })).jobId).toBe(next.jobId);
  // Lowered below what is there, it ends nothing.
  await set(lab, 1);
  expect((await at.job(next.jobId)).state).not.toBe('cancelled');
  for (const jobId of [...jobs.slice(1), next.jobId]) await cancel(jobId);
  expect((await set(lab, null)).items).toEqual([]);
}, 60_000);

it('binds a person wherever they submit, and only them', async () => {
  const person: QuotaTarget = { scope: 'person', subject: at.principal.personId };
  await set(person, 0);
  expect(await refusal(at.submit())).toBe('scheduling.quota-exceeded');
  await set({ scope: 'project', subject: newId('Study') }, 0);
  await set(person, null);
  await cancel((await at.submit()).jobId);
}, 60_000);

it('is set by the secretariat alone, for what there can be, and kept in the audit log', async () => {
  const lab: QuotaTarget = { scope: 'lab', subject: at.labId };
  const body = { target: lab, maxUnfinishedJobs: 1 };
  expect(await refusal(at.operator.call(setQuota, { body }))).toBe('auth.forbidden');
  expect(await refusal(set({ scope: 'lab', subject: at.principal.personId } as never, 1))).toBe(
    'request.invalid',
  );
  expect(await refusal(set(lab, -1))).toBe('request.invalid');
  await set(lab, 7);
  const entries = await at.transactor.read.rows(
    `SELECT details FROM platform.audit_entry WHERE action = 'quota.set' AND subject = $1 ORDER BY id DESC LIMIT 1`,
    [`lab/${at.labId}`],
  );
  expect(entries).toEqual([{ details: { maxUnfinishedJobs: 7 } }]);
}, 60_000);
