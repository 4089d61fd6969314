import { FundRound, Ledger, ReserveSuites } from '@beamtime/access';
import { cancelJob, explainJob, showJob, submitJob } from '@beamtime/contracts';
import type { JobId } from '@beamtime/kernel';
import { newId } from '@beamtime/platform';
import { SubmitJob } from '@beamtime/scheduling';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  jobBody,
  refusal,
  type SchedulingForTest,
  type SimulatedAgent,
  schedulingForTest,
  trainTemplate,
} from './testing.js';

let at: SchedulingForTest;
let agent: SimulatedAgent;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '20000' });
  agent = await (await at.cluster('followed', { gpus: 8 })).register();
});
afterAll(() => at.close());

const why = (jobId: string) => at.researcher.call(explainJob, { params: { jobId } });
const cancel = (jobId: string) => at.researcher.call(cancelJob, { params: { jobId }, body: {} });
const shadows = (jobId: string) =>
  at.transactor.read.rows('SELECT 1 FROM scheduling.shadow WHERE job_id = $1', [jobId]);

it('a job starts when all that it follows have succeeded, and not before', async () => {
  const [first, second] = [await at.submit(), await at.submit()];
  const last = await at.submit({ after: [first.jobId, second.jobId, first.jobId] });
  expect(last).toMatchObject({ state: 'queued', blockedBy: 2 });
  expect(await shadows(last.jobId)).toEqual([]);
  expect(await why(last.jobId)).toMatchObject({ code: 'dependencies', position: null });
  expect((await why(last.jobId)).detail).toContain(first.jobId);

  const one = await agent.begin(first.jobId);
  await agent.report(one.ref, 'succeeded');
  // The news of a success may come twice.
  await agent.report(one.ref, 'succeeded').catch(() => undefined);
  expect(await at.researcher.call(showJob, { params: { jobId: last.jobId } })).toMatchObject({
    state: 'queued',
    blockedBy: 1,
    follows: [{ jobId: second.jobId }, { jobId: first.jobId, state: 'succeeded' }],
  });
  const two = await agent.begin(second.jobId);
  expect(await at.job(last.jobId)).toMatchObject({ state: 'queued', blockedBy: 1 });
  await agent.report(two.ref, 'succeeded');
  const { ref } = await agent.begin(last.jobId);
  expect(await shadows(last.jobId)).toHaveLength(1);
  await agent.report(ref, 'succeeded');
  expect(await at.job(last.jobId)).toMatchObject({ state: 'succeeded', blockedBy: 0 });
}, 60_000);

it('a job that can never start is cancelled with the reason, those behind it too, and their holds come back', async () => {
  const [roundId, suiteId] = [newId('Round'), newId('Suite')];
  const { app } = at.service;
  await at.transactor.do(async (tx) => {
    const pledges = [{ labId: at.labId, gpuSeconds: 2_000 }];
    await app.get(FundRound, { strict: false }).execute(tx, { roundId, pledges });
    const adopted = [{ proposalId: newId('Proposal'), suiteId, gpuSeconds: 1_000 }];
    await app.get(ReserveSuites, { strict: false }).execute(tx, { roundId, adopted });
  });
  const charged = async (after: string[]): Promise<JobId> => {
    const made = await app.get(SubmitJob, { strict: false }).execute({
      kind: 'train',
      name: 'charged',
      runner: trainTemplate,
      inputs: [],
      resources: { gpus: 1, maxSeconds: 100, checkpoint: true },
      labId: null,
      suiteId,
      modelId: null,
      studyId: null,
      priority: 0,
      attemptLimit: 1,
      requestKey: null,
      account: { kind: 'suite', suiteId },
      submittedBy: 'test',
      after,
    });
    if (!made.ok) throw new Error(made.error.detail);
    return made.value.jobId;
  };
  const balance = () => app.get(Ledger, { strict: false }).balance('gpu_seconds', `suite:${suiteId}`);
  const root = await at.submit({ attemptLimit: 1 });
  const near = await charged([root.jobId]);
  const far = await charged([near]);
  const both = await charged([root.jobId, far]);
  expect(await balance()).toMatchObject({ available: 700 });
  const { ref } = await agent.begin(root.jobId);
  await agent.report(ref, 'failed', { reason: 'it crashed', retriable: false });
  expect(await at.job(root.jobId)).toMatchObject({ state: 'failed' });
  expect(await at.job(near)).toMatchObject({
    state: 'cancelled',
    reason: `it follows ${root.jobId}, which failed`,
    attempts: 0,
  });
  expect(await at.job(far)).toMatchObject({
    state: 'cancelled',
    reason: `it follows ${near}, which was cancelled`,
  });
  expect((await at.job(both)).state).toBe('cancelled');
  expect(await balance()).toMatchObject({ available: 1_000 });
  const told = await at.transactor.read.rows(
    `SELECT payload FROM platform.outbox WHERE type = 'job.ended' AND payload->>'jobId' = ANY ($1)`,
    [[near, far, both]],
  );
  expect(told).toHaveLength(3);

  expect(await refusal(at.submit({ after: [near] }))).toBe('scheduling.dependency-failed');
  expect(await refusal(at.submit({ after: [`job_${'0'.repeat(26)}`] }))).toBe('resource.not-found');
  const many = Array.from({ length: 65 }, () => newId('Job'));
  expect(await refusal(at.submit({ after: many }))).toBe('request.invalid');
}, 60_000);

it('a job that is cancelled takes along those that follow it; one that has ended already does not wait', async () => {
  const first = await at.submit();
  const { ref } = await agent.begin(first.jobId);
  await agent.report(ref, 'succeeded');
  const second = await at.submit({ after: [first.jobId], gpus: 8 });
  expect(second.blockedBy).toBe(0);
  const third = await at.submit({ after: [second.jobId] });
  await cancel(second.jobId);
  expect((await at.job(third.jobId)).state).toBe('cancelled');
}, 60_000);

it('submissions that meet the end of the job which they follow are released or refused, never forgotten', async () => {
  for (let round = 0; round < 6; round++) {
    const first = await at.submit({ attemptLimit: 1 });
    const { ref } = await agent.begin(first.jobId);
    const succeeds = round % 2 === 0;
    const submit = () =>
      at.researcher
        .call(submitJob, { body: jobBody(at.labId, { after: [first.jobId] }) })
        .then((job) => job.jobId as string)
        .catch(() => null);
    const before = [submit(), submit()];
    const [, ...made] = await Promise.all([
      succeeds
        ? agent.report(ref, 'succeeded')
        : agent.report(ref, 'failed', { reason: 'crashed', retriable: false }),
      ...before,
      submit(),
      submit(),
    ]);
    for (const jobId of made) {
      // A refusal is right only behind a failure.
      if (jobId === null) {
        expect(succeeds).toBe(false);
        continue;
      }
      const job = await at.job(jobId);
      if (succeeds) expect(job.blockedBy).toBe(0);
      else expect(job.state).toBe('cancelled');
      if (succeeds) await cancel(jobId);
    }
  }
}, 120_000);
