import {
  cancelJob,
  explainJob,
  listQuotas,
  ProblemError,
  type QuotaTarget,
  setQuota,
  submitJob,
} from '@beamtime/contracts';
import { newId } from '@beamtime/platform';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { jobBody, refusal, type SchedulingForTest, schedulingForTest } from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest();
  // It takes nothing: what is submitted stays unfinished.
  await (await at.cluster('full', { gpus: 1 })).register();
});
afterAll(() => at.close());

const set = (target: QuotaTarget, maxUnfinishedJobs: number | null) =>
  at.secretariat.call(setQuota, { body: { target, maxUnfinishedJobs } });
const setGpus = (target: QuotaTarget, maxGpusAtOnce: number | null) =>
  at.secretariat.call(setQuota, { body: { target, maxGpusAtOnce } });
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
  expect(entries).toEqual([{ details: { maxUnfinishedJobs: 7, maxGpusAtOnce: null } }]);
}, 60_000);

describe('a quota of GPUs', { timeout: 60_000 }, () => {
  const wide = () => at.cluster('wide', { gpus: 8, gpuType: 'wide' });
  const submit = (gpus: number, more: { maxSeconds?: number } = {}) =>
    at.submit({ gpus, gpuType: 'wide', ...more });
  const why = (jobId: string) => at.researcher.call(explainJob, { params: { jobId } });
  const person = (): QuotaTarget => ({ scope: 'person', subject: at.principal.personId });
  beforeEach(() => at.transactor.read.rows('DELETE FROM scheduling.quota'));

  it('lets jobs wait that are beyond it, says so, and lets them go on when there is room', async () => {
    const agent = await (await wide()).register();
    await setGpus(person(), 3);
    const first = await submit(2);
    const { ref } = await agent.begin(first.jobId);
    const [second, third] = [await submit(2), await submit(1, { maxSeconds: 60 })];
    // What fits beside the first starts, though it came last.
    const small = await agent.begin(third.jobId);
    expect(await why(second.jobId)).toMatchObject({
      code: 'quota',
      detail: `The quota of the person ${at.principal.personId} is 3 GPUs at the same time: running jobs hold 3, and it asks for 2`,
      change:
        'It may start when jobs under the quota have given back 2 GPUs, or when the secretariat raises the quota',
    });
    const { items } = await at.researcher.call(listQuotas, {});
    expect(items).toMatchObject([
      { scope: 'person', maxUnfinishedJobs: null, maxGpusAtOnce: 3, gpusInUse: 3, unfinishedJobs: 3 },
    ]);
    // Lowered, it ends nothing.
    await setGpus(person(), 2);
    expect((await at.job(first.jobId)).state).toBe('running');
    expect((await why(second.jobId)).change).toContain('given back 3 GPUs');
    await agent.report(ref, 'succeeded');
    expect((await why(second.jobId)).change).toContain('given back 1 GPU,');
    await agent.report(small.ref, 'succeeded');
    const next = await agent.begin(second.jobId);
    // Raised, what waits goes on at once.
    const last = await submit(1);
    expect((await why(last.jobId)).code).toBe('quota');
    await setGpus(person(), 3);
    const end = await agent.begin(last.jobId);
    for (const done of [next.ref, end.ref]) await agent.report(done, 'succeeded');
  });

  it('holds up no jobs of others, not even of the same lab', async () => {
    const agent = await (await wide()).register();
    await setGpus(person(), 0);
    const mine = await Promise.all(
      Array.from({ length: 30 }, () => submit(1).catch((error: unknown) => error)),
    );
    expect(mine.every((error) => error instanceof ProblemError)).toBe(true);
    await setGpus(person(), 1);
    const waiting = await Promise.all(Array.from({ length: 30 }, () => submit(1)));
    await setGpus(person(), 0);
    const started = waiting.filter(({ state }) => state !== 'queued');
    expect(started.length).toBeLessThanOrEqual(1);
    const theirs = await at.operator.call(submitJob, { body: jobBody(at.labId, { gpuType: 'wide' }) });
    const { ref } = await agent.begin(theirs.jobId);
    await agent.report(ref, 'succeeded');
    for (const { jobId } of waiting) await cancel(jobId);
  });

  it('refuses a job that alone asks for more, and names the quota', async () => {
    await (await wide()).register();
    await setGpus(person(), 4);
    expect(await refusal(submit(5))).toBe('scheduling.quota-exceeded');
    await expect(submit(5)).rejects.toThrow(
      `The quota of the person ${at.principal.personId}: 4 GPUs at the same time, and this job alone asks for 5`,
    );
    const one = await submit(1);
    await expect.poll(async () => (await at.job(one.jobId)).state, { timeout: 20_000 }).toBe('running');
    const job = await submit(4);
    await setGpus(person(), 3);
    expect((await why(job.jobId)).change).toContain('raise the quota to 4 or more');
    for (const { jobId } of [job, one]) await cancel(jobId);
  });

  it('is one part of a quota, which is lifted when both parts are', async () => {
    const target = person();
    await setGpus(target, 4);
    const both = await set(target, 9);
    expect(both.items).toMatchObject([{ maxUnfinishedJobs: 9, maxGpusAtOnce: 4 }]);
    const one = await setGpus(target, null);
    expect(one.items).toMatchObject([{ maxUnfinishedJobs: 9, maxGpusAtOnce: null }]);
    expect((await set(target, null)).items).toEqual([]);
    expect(await refusal(at.secretariat.call(setQuota, { body: { target } }))).toBe('request.invalid');
    expect(await refusal(setGpus(target, -1))).toBe('request.invalid');
  });

  it('is one of a bounded number', async () => {
    await at.transactor.read.rows(
      `INSERT INTO scheduling.quota (scope, subject, max_gpus_at_once, set_by)
       SELECT 'person', 'per_' || n, 1, 'test' FROM generate_series(1, 1000) n`,
    );
    expect(await refusal(setGpus(person(), 1))).toBe('limit.exceeded');
    await at.transactor.read.rows(`DELETE FROM scheduling.quota WHERE set_by = 'test'`);
  });
});
