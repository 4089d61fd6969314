import { FundRound, Ledger, ReserveSuites } from '@beamtime/access';
import { cancelJob, explainJob, type JobView, showCluster, submitJob } from '@beamtime/contracts';
import { newId } from '@beamtime/platform';
import { SubmitJob } from '@beamtime/scheduling';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  clusterOfItsOwn,
  evaluateTemplate,
  jobBody,
  refusal,
  type SchedulingForTest,
  type SimulatedAgent,
  schedulingForTest,
} from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '20000' });
});
afterAll(() => at.close());

const cluster = (gpus: number, gpuParts?: number) =>
  clusterOfItsOwn(at, 'sharing', gpus, gpuParts === undefined ? {} : { gpuParts });
const part = (gpuType: string, gpuShareMilli: number) =>
  at.submit({ gpuType, gpuShareMilli, runner: evaluateTemplate });
const whole = (gpuType: string) => at.submit({ gpuType, runner: evaluateTemplate });
const why = (job: JobView) => at.researcher.call(explainJob, { params: { jobId: job.jobId } });
const shown = (agent: SimulatedAgent) =>
  at.operator.call(showCluster, { params: { clusterId: agent.clusterId } });
const slotsOf = (agent: SimulatedAgent) =>
  at.transactor.read.rows<{ job_id: string; gpu_slot: number | null; gpu_share_milli: number }>(
    `SELECT job_id, gpu_slot, gpu_share_milli FROM scheduling.attempt WHERE cluster_id = $1 ORDER BY job_id, number`,
    [agent.clusterId],
  );

describe('jobs that ask for a part of a GPU', { timeout: 90_000 }, () => {
  it('run on one GPU at the same time; a third waits, and so does a job that wants the whole', async () => {
    const { agent, gpuType } = await cluster(1, 4);
    const first = await part(gpuType, 500);
    expect(first.resources).toMatchObject({ gpus: 1, gpuShareMilli: 500 });
    const one = await agent.begin(first.jobId);
    expect(one.assignment.resources.gpuShareMilli).toBe(500);
    const second = await part(gpuType, 400);
    const two = await agent.begin(second.jobId);
    expect((await slotsOf(agent)).map((row) => row.gpu_slot)).toEqual([0, 0]);
    expect(await shown(agent)).toMatchObject({ gpusBusy: 1, attemptsLive: 2 });

    const third = await part(gpuType, 250);
    const gang = await whole(gpuType);
    await expect.poll(async () => (await why(third)).code, { timeout: 10_000 }).toBe('capacity');
    const told = await why(third);
    expect(told.detail).toBe('No cluster that may run it has 25 % of a GPU left');
    expect(told.clusters.find(({ clusterId }) => clusterId === agent.clusterId)?.verdict).toBe(
      'no GPU is free, and no shared one has 25 % of a GPU left',
    );
    expect(await why(gang)).toMatchObject({ code: 'capacity' });
    expect(await at.job(third.jobId)).toMatchObject({ state: 'queued', attempts: 0 });

    // What is left fits a smaller part, of a job that came later.
    const fourth = await part(gpuType, 250);
    await agent.report(two.ref, 'succeeded');
    const three = await agent.begin(third.jobId);
    const four = await agent.begin(fourth.jobId);
    expect(new Set((await slotsOf(agent)).map((row) => row.gpu_slot))).toEqual(new Set([0]));
    expect(await at.job(gang.jobId)).toMatchObject({ state: 'queued', attempts: 0 });
    for (const { ref } of [one, three, four]) await agent.report(ref, 'succeeded');
    const last = await agent.begin(gang.jobId);
    expect(last.assignment.resources.gpuShareMilli).toBeUndefined();
    await agent.report(last.ref, 'succeeded');
    expect((await slotsOf(agent)).find((row) => row.job_id === gang.jobId)).toMatchObject({
      gpu_slot: null,
      gpu_share_milli: 1_000,
    });
  });

  it('hold and use that part of the GPU-seconds, rounded up', async () => {
    const { agent, gpuType } = await cluster(1, 10);
    const roundId = newId('Round');
    await at.transactor.do(async (tx) => {
      const pledges = [{ labId: at.labId, gpuSeconds: 1_000 }];
      await at.service.app.get(FundRound, { strict: false }).execute(tx, { roundId, pledges });
      await at.service.app.get(ReserveSuites, { strict: false }).execute(tx, { roundId, adopted: [] });
    });
    const available = async () =>
      (await at.service.app.get(Ledger, { strict: false }).balance('gpu_seconds', 'operations'))?.available;
    const submitted = await at.service.app.get(SubmitJob).execute({
      kind: 'evaluate',
      name: 'a third',
      runner: evaluateTemplate,
      inputs: [],
      resources: { gpus: 1, gpuShareMilli: 330, gpuType, maxSeconds: 100, checkpoint: false },
      ...{ labId: at.labId, suiteId: null, modelId: null, studyId: null, requestKey: null },
      ...{ priority: 0, attemptLimit: 1, account: { kind: 'operations' }, submittedBy: 'test' },
    });
    if (!submitted.ok) throw new Error(submitted.error.detail);
    const { jobId } = submitted.value;
    expect((await at.job(jobId)).gpuSecondsHeld).toBe(33);
    expect(await available()).toBe(967);
    const { ref } = await agent.begin(jobId);
    await at.transactor.read.rows(
      `UPDATE scheduling.attempt SET running_at = now() - interval '10 s' WHERE job_id = $1`,
      [jobId],
    );
    await agent.report(ref, 'succeeded');
    const { gpuSecondsUsed, history } = await at.job(jobId);
    // Eleven seconds or some more, a third of each.
    expect(gpuSecondsUsed).toBeGreaterThanOrEqual(4);
    expect(gpuSecondsUsed).toBeLessThanOrEqual(6);
    expect(history[0]?.gpuSeconds).toBe(gpuSecondsUsed);
    expect(await available()).toBe(1_000 - gpuSecondsUsed);
  });

  it('are refused where no cluster shares its GPUs, or not into such small parts', async () => {
    const { gpuType } = await cluster(2);
    await expect(part(gpuType, 500)).rejects.toThrow(/its GPUs are not shared, the job wants 50 % of a GPU/);
    const thirds = await cluster(2, 3);
    await expect(part(thirds.gpuType, 250)).rejects.toThrow(/no less than 33 % of a GPU/);
    expect(await refusal(part(thirds.gpuType, 330).then(({ jobId }) => cancelled(jobId)))).toBe(
      'not refused',
    );
  });

  it('are no trainings and no gangs, and ask in hundredths', async () => {
    const { gpuType } = await cluster(2, 10);
    const body = jobBody(at.labId, { gpuType, runner: evaluateTemplate });
    const submit = (resources: Record<string, unknown>, runner = body.runner) =>
      refusal(
        at.researcher.call(submitJob, {
          body: { ...body, runner, resources: { ...body.resources, ...resources } },
        }),
      );
    expect(await submit({ gpus: 2, gpuShareMilli: 500 })).toBe('request.invalid');
    expect(await submit({ gpuShareMilli: 505 })).toBe('request.invalid');
    expect(await submit({ gpuShareMilli: 90 })).toBe('request.invalid');
    await expect(at.submit({ gpuType, gpuShareMilli: 500 })).rejects.toMatchObject({
      problem: { code: 'request.invalid', status: 400 },
    });
  });

  it('never have more of a GPU than there is, whoever writes', async () => {
    const { agent, gpuType } = await cluster(1, 4);
    const { ref } = await agent.begin((await part(gpuType, 600)).jobId);
    const enter = (jobId: string, milli: number) =>
      at.transactor.do((tx) =>
        tx.rows(
          `INSERT INTO scheduling.attempt (job_id, number, cluster_id, gpus, gpu_share_milli, gpu_slot, owner, offer_expires_at)
           VALUES ($1, 1, $2, 1, $3, 0, 'test', now() + interval '1 minute')`,
          [jobId, agent.clusterId, milli],
        ),
      );
    const outcomes = await Promise.allSettled(
      [300, 300, 300].map((milli, n) => enter(`job_by_hand_${n}`, milli)),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const [failed] = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(String(failed?.reason)).toContain('would be given out to 1200 thousandths');
    await at.transactor.read.rows(`DELETE FROM scheduling.attempt WHERE job_id LIKE 'job_by_hand_%'`);
    await agent.report(ref, 'succeeded');
  });
});

async function cancelled(jobId: string): Promise<void> {
  await at.researcher.call(cancelJob, { params: { jobId }, body: {} });
}
