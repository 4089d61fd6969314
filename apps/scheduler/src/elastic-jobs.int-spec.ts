import { cancelJob, explainJob, type JobView, setQuota, submitJob } from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  clusterOfItsOwn,
  evaluateTemplate,
  jobBody,
  refusal,
  type SchedulingForTest,
  type SimulatedAgent,
  schedulingForTest,
  trainTemplate,
} from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '20000' });
});
afterAll(() => at.close());

const cluster = (gpus: number, policy: Partial<SimulatedAgent['policy']> = {}) =>
  clusterOfItsOwn(at, 'elastic', gpus, policy);
const training = { ...trainTemplate, training: { ...trainTemplate.training, batchSequences: 8 } };
const elastic = (gpuType: string, gpus: number, gpusMin: number, more = {}) =>
  at.submit({ gpuType, gpus, gpusMin, runner: training, ...more });
const why = (job: JobView) => at.researcher.call(explainJob, { params: { jobId: job.jobId } });

/** As if the present attempt of a job had been running for so long. */
const ranFor = (jobId: string, seconds: number) =>
  at.transactor.read.rows(
    `UPDATE scheduling.attempt SET running_at = now() - $2 * interval '1 s' WHERE job_id = $1 AND ended_at IS NULL`,
    [jobId, seconds],
  );
/** Syncs until the agent is to ask the job to leave; answers why. */
async function askedToLeave(agent: SimulatedAgent, jobId: string): Promise<string> {
  for (const deadlineMs = Date.now() + 20_000; Date.now() < deadlineMs; ) {
    const found = (await agent.sync()).preempt.find((one) => one.jobId === jobId);
    if (found !== undefined) return found.reason;
  }
  throw new Error('not asked to leave');
}

describe('elastic jobs', { timeout: 90_000 }, () => {
  it('start with as many of their GPUs as are free, halved, and tell the runner the seats', async () => {
    const { agent, gpuType } = await cluster(4);
    const one = await agent.begin((await at.submit({ gpuType, gpus: 1 })).jobId);
    const job = await elastic(gpuType, 4, 1);
    expect(job.resources).toMatchObject({ gpus: 4, gpusMin: 1 });
    const { ref, assignment } = await agent.begin(job.jobId);
    expect(assignment.resources).toMatchObject({ gpus: 2, maxSeconds: 1_200 });
    expect(assignment.secondsLeft).toBe(1_200);
    expect(assignment.runner).toMatchObject({ kind: 'train', seats: 4 });
    expect((await at.job(job.jobId)).history).toMatchObject([{ attempt: 1, gpus: 2 }]);
    expect((await why(job)).detail).toMatch(
      /^Attempt 1 is running on .*, with 2 of the GPUs that it asks for$/,
    );
    for (const held of [one.ref, ref]) await agent.report(held, 'succeeded');
  });

  it('have all of them where all are free, and wait while there are fewer than they need', async () => {
    const { agent, gpuType } = await cluster(4);
    const first = await agent.begin((await elastic(gpuType, 4, 2)).jobId);
    expect(first.assignment.resources.gpus).toBe(4);
    const second = await elastic(gpuType, 4, 2);
    await expect.poll(async () => (await why(second)).code, { timeout: 10_000 }).toBe('capacity');
    expect((await why(second)).detail).toBe(
      'No cluster that may run it has 2 GPUs, of the 4 that it asks for, free',
    );
    await agent.report(first.ref, 'succeeded');
    const { ref, assignment } = await agent.begin(second.jobId);
    expect(assignment.resources.gpus).toBe(4);
    await agent.report(ref, 'succeeded');
  });

  it('are charged for what they had, and their time bound counts as with all their GPUs', async () => {
    // Nowhere are there four, and one is enough.
    const { agent, gpuType } = await cluster(1);
    const { jobId } = await elastic(gpuType, 4, 1, { maxSeconds: 100 });
    const { ref, assignment } = await agent.begin(jobId);
    expect(assignment.secondsLeft).toBe(400);
    await ranFor(jobId, 39.5);
    await agent.report(ref, 'preempted');
    const again = await agent.begin(jobId);
    // 40 seconds with a quarter of its GPUs, or some more.
    expect(again.assignment.secondsLeft).toBeLessThanOrEqual(360);
    expect(again.assignment.secondsLeft).toBeGreaterThanOrEqual(340);
    await agent.report(again.ref, 'succeeded');
    const { gpuSecondsHeld, history } = await at.job(jobId);
    expect(gpuSecondsHeld).toBeLessThanOrEqual(400);
    expect(history[0]?.gpuSeconds).toBeGreaterThanOrEqual(40);
    expect(history[0]?.gpuSeconds).toBeLessThanOrEqual(60);
  });

  it('are never told a longer time bound than a job may have', async () => {
    const { agent, gpuType } = await cluster(1);
    const { jobId } = await elastic(gpuType, 8, 1, { maxSeconds: 31_536_000 });
    const { ref, assignment } = await agent.begin(jobId);
    expect(assignment.resources.maxSeconds).toBe(31_536_000);
    await agent.report(ref, 'succeeded');
  });

  it('say that a deadline is near by the time that they need with the fewest, however large they are', async () => {
    const { agent, gpuType } = await cluster(128);
    const full = await agent.begin((await at.submit({ gpuType, gpus: 128 })).jobId);
    const deadline = new Date(Date.now() + 7_200_000).toISOString();
    const risk = async (maxSeconds: number, gpusMin: number) => {
      const job = await elastic(gpuType, 128, gpusMin, { maxSeconds, deadline });
      await expect.poll(async () => (await why(job)).code, { timeout: 10_000 }).toBe('capacity');
      const { detail } = await why(job);
      await at.researcher.call(cancelJob, { params: { jobId: job.jobId }, body: {} });
      return detail;
    };
    expect(await risk(3_600, 128)).not.toContain('deadline');
    expect(await risk(3_600, 16)).toContain('deadline');
    expect(await risk(31_536_000, 1)).toContain('deadline');
    await agent.report(full.ref, 'succeeded');
  });

  it('go on with twice as many when these have become free and nobody waits for them', async () => {
    const { agent, gpuType } = await cluster(4);
    const other = await agent.begin((await at.submit({ gpuType, gpus: 2 })).jobId);
    const job = await elastic(gpuType, 4, 1, { maxSeconds: 10_000 });
    const small = await agent.begin(job.jobId);
    expect(small.assignment.resources.gpus).toBe(2);
    await agent.report(other.ref, 'succeeded');
    // Not before it has run for a while: leaving costs.
    expect((await agent.sync(false)).preempt).toEqual([]);
    await ranFor(job.jobId, 1_900);
    expect(await askedToLeave(agent, job.jobId)).toBe(
      'it has 2 of the 4 GPUs that it asks for, and as many more are free: it goes on with them',
    );
    await agent.report(small.ref, 'preempted');
    const large = await agent.begin(job.jobId);
    expect(large.assignment.resources.gpus).toBe(4);
    await agent.report(large.ref, 'succeeded');
    expect((await at.job(job.jobId)).history.map(({ gpus }) => gpus)).toEqual([2, 4]);
  });

  it('never have more than a policy or a quota allows, and do not leave to find that out', async () => {
    const limited = await cluster(4, { gpusPerJobMax: 2 });
    const job = await elastic(limited.gpuType, 4, 1, { maxSeconds: 10_000 });
    const there = await limited.agent.begin(job.jobId);
    expect(there.assignment.resources.gpus).toBe(2);
    await ranFor(job.jobId, 1_900);
    expect((await limited.agent.sync()).preempt).toEqual([]);
    await limited.agent.report(there.ref, 'succeeded');

    const { agent, gpuType } = await cluster(8);
    const quota = (maxGpusAtOnce: number | null) =>
      at.secretariat.call(setQuota, {
        body: { target: { scope: 'person', subject: at.principal.personId }, maxGpusAtOnce },
      });
    await quota(3);
    const bound = await elastic(gpuType, 8, 1, { maxSeconds: 10_000 });
    const two = await agent.begin(bound.jobId);
    expect(two.assignment.resources.gpus).toBe(2);
    await ranFor(bound.jobId, 1_900);
    expect((await agent.sync()).preempt).toEqual([]);
    await quota(null);
    expect(await askedToLeave(agent, bound.jobId)).toContain('it has 2 of the 8 GPUs');
    await agent.report(two.ref, 'preempted');
    const all = await agent.begin(bound.jobId);
    expect(all.assignment.resources.gpus).toBe(8);
    await agent.report(all.ref, 'succeeded');
  });

  it('are trainings, and ask for halves', async () => {
    const { gpuType } = await cluster(4);
    const submit = (resources: Record<string, unknown>, runner: Record<string, unknown> = training) => {
      const body = jobBody(at.labId, { gpuType, runner });
      return refusal(
        at.researcher.call(submitJob, {
          body: { ...body, resources: { ...body.resources, ...resources } },
        }),
      );
    };
    expect(await submit({ gpus: 4, gpusMin: 3 })).toBe('request.invalid');
    expect(await submit({ gpus: 2, gpusMin: 4 })).toBe('request.invalid');
    expect(await submit({ gpus: 4, gpusMin: 2 }, evaluateTemplate)).toBe('request.invalid');
    expect(await submit({ gpus: 16, gpusMin: 8 })).toBe('scheduling.unschedulable');
    expect(await submit({ gpus: 4, gpusMin: 4 })).toBe('not refused');
  });
});
