import { checkBooks, FundRound, Ledger, ReserveSuites } from '@beamtime/access';
import {
  cancelJob,
  createApiClient,
  explainJob,
  jobStreamMessageSchema,
  listClusters,
  listJobs,
  listShares,
  registerCluster,
  showLabShare,
  streamJob,
  submitJob,
  summarizeJobs,
} from '@beamtime/contracts';
import { IdentityModule } from '@beamtime/identity';
import { seedLab, seedPerson } from '@beamtime/identity/testing';
import type { JobId, RoundId, SuiteId } from '@beamtime/kernel';
import { NotLeader, newId } from '@beamtime/platform';
import { Scheduler, SubmitJob } from '@beamtime/scheduling';
import { serviceForTest, startDisposableRedis } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schedulerSchemas, schedulerServiceModule } from './index.js';
import {
  jobBody,
  refusal,
  type SchedulingForTest,
  schedulingForTest,
  testLeaseMs,
  trainTemplate,
} from './testing.js';

const stateOf = async (at: SchedulingForTest, jobId: string): Promise<string> => (await at.job(jobId)).state;

describe('a second scheduler', () => {
  it('stands by, takes over, and the first one that wakes up again changes nothing', async () => {
    const first = await schedulingForTest();
    const second = await serviceForTest({
      module: schedulerServiceModule,
      schemas: schedulerSchemas,
      identity: IdentityModule,
      settings: { DATABASE_URL: first.service.databaseUrl, BEAMTIME_LEASE_TTL_MS: String(testLeaseMs) },
    });
    const [one, two] = [first.service.app.get(Scheduler), second.app.get(Scheduler)];
    await expect.poll(() => one.isLeader, { timeout: 10_000 }).toBe(true);
    expect(two.isLeader).toBe(false);
    const agent = await (await first.cluster('both')).register();
    const before = await first.submit();
    const { ref } = await agent.begin(before.jobId);

    await one.onApplicationShutdown();
    await expect.poll(() => two.isLeader, { timeout: 10_000 }).toBe(true);
    // What ran goes on, and what waits is placed by the new leader.
    await agent.sync(false);
    const after = await first.submit();
    const { ref: next } = await agent.begin(after.jobId);
    await agent.report(ref, 'succeeded');
    await agent.report(next, 'succeeded');
    expect(await stateOf(first, after.jobId)).toBe('succeeded');

    // A leader that was frozen through the election finds its epoch ended.
    const { RunCycle } = await import('@beamtime/scheduling');
    const stale = { name: 'scheduler', epoch: 1n, signal: new AbortController().signal };
    await expect(first.service.app.get(RunCycle).run(stale)).rejects.toBeInstanceOf(NotLeader);
    await second.close();
    await first.close();
  }, 60_000);
});

describe('Redis emptied and killed in mid-run', () => {
  it('loses no job', async () => {
    const redis = await startDisposableRedis();
    const at = await schedulingForTest({ REDIS_URL: redis.url });
    try {
      const agent = await (await at.cluster('redis')).register();
      const jobs = [await at.submit(), await at.submit()];
      await redis.empty();
      const { ref } = await agent.begin();
      await redis.kill();
      const late = await at.submit();
      await agent.report(ref, 'succeeded');
      await redis.restart();
      await redis.empty();
      for (let left = jobs.length; left > 0; left--) {
        const { ref: next } = await agent.begin();
        await agent.report(next, 'succeeded');
      }
      for (const { jobId } of [...jobs, late])
        expect(await at.job(jobId)).toMatchObject({ state: 'succeeded', attempts: 1 });
    } finally {
      await at.close();
      await redis.stop();
    }
  }, 60_000);
});

describe('the scheduler', () => {
  let at: SchedulingForTest;
  beforeAll(async () => {
    at = await schedulingForTest();
  });
  afterAll(() => at.close());

  it('refuses at once what no cluster could ever run, with what each would say', async () => {
    await (await at.cluster('small')).register();
    const call = (more: object) => at.submit(more);
    expect(await refusal(call({ gpus: 3 }))).toBe('scheduling.unschedulable');
    expect(await refusal(call({ gpuType: 'b200' }))).toBe('scheduling.unschedulable');
    await expect(call({ gpus: 3 })).rejects.toThrow(/it has 2 GPUs, the job needs 3/);
  });

  it('holds GPU-seconds before a job runs, and settles what all attempts used, once', async () => {
    const [roundId, suiteId] = [newId('Round') as RoundId, newId('Suite') as SuiteId];
    const app = at.service.app;
    await at.transactor.do(async (tx) => {
      await app
        .get(FundRound, { strict: false })
        .execute(tx, { roundId, pledges: [{ labId: at.labId, gpuSeconds: 1_000 }] });
      await app.get(ReserveSuites, { strict: false }).execute(tx, {
        roundId,
        adopted: [{ suiteId, gpuSeconds: 500 }],
      } as never);
    });
    const submit = (maxSeconds: number) =>
      app.get(SubmitJob, { strict: false }).execute({
        kind: 'train',
        name: 'charged',
        runner: trainTemplate,
        inputs: [],
        resources: { gpus: 2, maxSeconds, checkpoint: true },
        labId: null,
        suiteId,
        modelId: null,
        studyId: null,
        priority: 0,
        attemptLimit: 3,
        requestKey: null,
        account: { kind: 'suite', suiteId },
        submittedBy: 'test',
      });
    expect(await submit(251)).toMatchObject({
      ok: false,
      error: { code: 'scheduling.insufficient-reservation' },
    });
    const made = await submit(200);
    expect(made.ok).toBe(true);
    const jobId = made.ok ? made.value.jobId : ('' as JobId);
    expect(await at.job(jobId)).toMatchObject({ gpuSecondsHeld: 400, gpuSecondsUsed: 0 });
    expect(await submit(200)).toMatchObject({ ok: false });

    const agent = await (await at.cluster('charged')).register();
    const { ref } = await agent.begin(jobId);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await agent.report(ref, 'failed', { reason: 'crashed' });
    const { ref: next } = await agent.begin(jobId);
    await agent.report(next, 'succeeded');
    const job = await at.job(jobId);
    const used = job.history.reduce((sum, attempt) => sum + attempt.gpuSeconds, 0);
    expect(used).toBeGreaterThanOrEqual(4);
    expect(job).toMatchObject({ state: 'succeeded', gpuSecondsUsed: used });
    const hold = await at.transactor.read.row<{ amount: string; posted: string }>(
      'SELECT amount, posted FROM access.hold WHERE id = $1',
      [`job/${jobId}`],
    );
    expect([Number(hold?.amount), Number(hold?.posted)]).toEqual([400, used]);
    expect(await app.get(Ledger, { strict: false }).balance('gpu_seconds', `suite:${suiteId}`)).toMatchObject(
      {
        available: 500 - used,
      },
    );
    expect((await checkBooks(at.transactor.read)).ok).toBe(true);
  });

  it('finds the same job for the same request key, however often and at once', async () => {
    const made = await Promise.all(
      Array.from({ length: 8 }, () => at.submit({ requestKey: 'the same key' })),
    );
    expect(new Set(made.map((job) => job.jobId)).size).toBe(1);
    await at.researcher.call(cancelJob, { params: { jobId: made[0]?.jobId ?? '' }, body: {} });
  });

  it('lets nobody submit for another lab, cancel the jobs of others, or register their clusters', async () => {
    const { otherLab, stranger } = await at.transactor.do(async (tx) => {
      const otherLab = await seedLab(tx, 'elsewhere');
      const roles = [
        { labId: otherLab, role: 'researcher' as const },
        { labId: otherLab, role: 'operator' as const },
      ];
      return { otherLab, stranger: await seedPerson(tx, 'stranger@elsewhere.example', roles) };
    });
    const client = createApiClient(at.service.url, stranger.token);
    expect(await refusal(client.call(submitJob, { body: jobBody(at.labId) }))).toBe('auth.forbidden');
    expect(await refusal(client.call(registerCluster, { body: { labId: at.labId, name: 'not-mine' } }))).toBe(
      'auth.forbidden',
    );
    const { jobId } = await at.submit();
    expect(await refusal(client.call(cancelJob, { params: { jobId }, body: {} }))).toBe('auth.forbidden');
    expect(otherLab).not.toBe(at.labId);
    expect(
      await refusal(at.researcher.call(registerCluster, { body: { labId: at.labId, name: 'mine' } })),
    ).toBe('auth.forbidden');
    await at.researcher.call(cancelJob, { params: { jobId }, body: {} });
  });

  it('refuses a second cluster of one name, and unknown ids, without a crash', async () => {
    const body = { labId: at.labId, name: 'only-one' };
    await at.operator.call(registerCluster, { body });
    expect(await refusal(at.operator.call(registerCluster, { body }))).toBe('resource.exists');
    const jobId = `job_${'0'.repeat(26)}`;
    expect(await refusal(at.job(jobId))).toBe('resource.not-found');
    expect(await refusal(at.researcher.call(explainJob, { params: { jobId } }))).toBe('resource.not-found');
    expect(await refusal(at.researcher.call(explainJob, { params: { jobId: 'job_x' } }))).toBe(
      'request.invalid',
    );
    const runner = { ...trainTemplate, model: { ...trainTemplate.model, hiddenSize: -1 } };
    expect(await refusal(at.researcher.call(submitJob, { body: { ...jobBody(at.labId), runner } }))).toBe(
      'request.invalid',
    );
  });

  it('streams a job from its beginning to its end', async () => {
    const agent = await (await at.cluster('stream', { gpuType: 'stream' })).register();
    const { jobId } = await at.submit({ gpuType: 'stream' });
    const response = await at.researcher.raw(streamJob, { params: { jobId } }, { timeoutMs: 30_000 });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const running = agent.offer(jobId).then(async (ref) => {
      await agent.accept(ref);
      await agent.report(ref, 'running');
      await agent.report(ref, 'succeeded');
    });
    const text = await response.text();
    await running;
    const messages = text
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => jobStreamMessageSchema.parse(JSON.parse(line.slice(6))));
    const states = messages.flatMap((message) => (message.type === 'job' ? [message.job.state] : []));
    expect(states.at(-1)).toBe('succeeded');
    expect(
      messages.flatMap((m) => (m.type === 'event' && m.event.subject === 'attempt' ? [m.event.to] : [])),
    ).toEqual(['offered', 'accepted', 'running', 'succeeded']);
  });

  it('lists jobs in pages, counts them, and shows shares to everybody', async () => {
    const open = createApiClient(at.service.url);
    expect((await open.call(listClusters, {})).items.length).toBeGreaterThan(0);
    expect((await open.call(summarizeJobs, {})).counts.some((count) => count.state === 'succeeded')).toBe(
      true,
    );
    const share = (await open.call(listShares, {})).items.find((one) => one.owner === at.labId);
    expect(share?.entitledGpus).toBeGreaterThan(0);
    expect(await open.call(showLabShare, { params: { labId: at.labId } })).toMatchObject({ owner: at.labId });
    const first = await at.researcher.call(listJobs, { query: { limit: 2 } });
    const second = await at.researcher.call(listJobs, {
      query: { limit: 2, after: first.next ?? undefined },
    });
    expect(new Set([...first.items, ...second.items].map((job) => job.jobId)).size).toBe(4);
  });
});
