import { createHash } from 'node:crypto';
import {
  acceptAttempt,
  cancelJob,
  commitCheckpoint,
  commitResumable,
  declineAttempt,
  drainCluster,
  explainJob,
  listJobEvents,
  readJobLogs,
  readJobMetrics,
  reportAttempt,
  reportEvents,
  reportLogs,
  requestUploads,
  resumeCluster,
  showCluster,
} from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  refusal,
  type SchedulingForTest,
  type SimulatedAgent,
  schedulingForTest,
  testLeaseMs,
} from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest();
});
afterAll(() => at.close());

const params = (jobId: string) => ({ params: { jobId } });
const stateOf = async (jobId: string): Promise<string> => (await at.job(jobId)).state;

/** Retires nothing, but keeps the cluster of one test from taking the jobs of the next. */
async function retire(...agents: SimulatedAgent[]): Promise<void> {
  for (const agent of agents)
    await at.operator.call(drainCluster, { params: { clusterId: agent.clusterId }, body: {} });
}

async function upload(agent: SimulatedAgent, ref: { jobId: string; attempt: number }, text: string) {
  const sha256 = createHash('sha256').update(text).digest('hex');
  const sizeBytes = Buffer.byteLength(text);
  const { files } = await agent.client.call(requestUploads, {
    params: ref,
    body: { incarnation: agent.incarnation, files: [{ sha256, sizeBytes }] },
  });
  const [file] = files;
  if (file?.upload != null) {
    const put = await fetch(file.upload.url, { method: 'PUT', headers: file.upload.headers, body: text });
    expect(put.status).toBeLessThan(300);
  }
  return { path: 'state.bin', sizeBytes, sha256 };
}

describe('an attempt', () => {
  it('goes from offer to success though every message comes twice', async () => {
    const agent = await (await at.cluster('twice')).register();
    await agent.register();
    expect(agent.incarnation).toBe(1);
    const { jobId } = await at.submit();
    const ref = await agent.offer(jobId);
    const first = await agent.accept(ref);
    expect(await agent.accept(ref)).toMatchObject({ runner: first.runner, resume: null });
    expect(first.runner).toMatchObject({ jobId, attempt: 1, kind: 'train' });
    for (const state of [
      'staging',
      'running',
      'running',
      'staging',
      'finalizing',
      'succeeded',
      'succeeded',
    ] as const)
      await agent.report(ref, state);
    const job = await at.job(jobId);
    expect(job).toMatchObject({ state: 'succeeded', attempts: 1, attemptState: 'succeeded' });
    const { items } = await at.researcher.call(listJobEvents, { ...params(jobId), query: {} });
    expect(items.filter((e) => e.subject === 'attempt').map((e) => e.to)).toEqual([
      'offered',
      'accepted',
      'staging',
      'running',
      'finalizing',
      'succeeded',
    ]);
    expect(items.filter((e) => e.subject === 'job').map((e) => e.to)).toEqual([
      'queued',
      'running',
      'succeeded',
    ]);
    await retire(agent);
  });

  it('may skip states whose reports were lost, but never goes back or ends twice', async () => {
    const agent = await (await at.cluster('skip')).register();
    const { jobId } = await at.submit();
    const ref = await agent.offer(jobId);
    await agent.accept(ref);
    await agent.report(ref, 'running');
    await agent.report(ref, 'succeeded');
    expect(await refusal(agent.report(ref, 'failed'))).toBe('scheduling.attempt-fenced');
    expect(await refusal(agent.report(ref, 'running'))).toBe('scheduling.attempt-fenced');
    expect(await stateOf(jobId)).toBe('succeeded');
    await retire(agent);
  });

  it('keeps logs and events once however often they come', async () => {
    const agent = await (await at.cluster('logs')).register();
    const { jobId } = await at.submit();
    const { ref } = await agent.begin(jobId);
    const chunks = [
      { seq: 0, offset: 0, stream: 'stdout' as const, text: 'one\n' },
      { seq: 1, offset: 4, stream: 'stderr' as const, text: 'two \0\n' },
    ];
    const head = { at: new Date().toISOString(), jobId, attempt: 1 };
    const events = [
      {
        ...head,
        seq: 0,
        kind: 'progress' as const,
        phase: 'train' as const,
        fraction: 0.2,
        step: 2,
        loss: 5,
        losses: [
          [1, 6],
          [2, 5],
        ] as [number, number][],
      },
      { ...head, seq: 1, kind: 'warning' as const, code: 'slow', detail: 'this is slow' },
      {
        ...head,
        seq: 2,
        kind: 'progress' as const,
        phase: 'train' as const,
        fraction: 0.4,
        step: 4,
        loss: 4,
        losses: [
          [3, 4.5],
          [4, 4],
        ] as [number, number][],
      },
    ];
    for (let times = 0; times < 3; times++) {
      await agent.client.call(reportLogs, { params: ref, body: { incarnation: agent.incarnation, chunks } });
      await agent.client.call(reportEvents, {
        params: ref,
        body: { incarnation: agent.incarnation, events },
      });
    }
    const logs = await at.researcher.call(readJobLogs, { ...params(jobId), query: {} });
    expect(logs.items.map((c) => c.text)).toEqual(['one\n', 'two \uFFFD\n']);
    const metrics = await at.researcher.call(readJobMetrics, { ...params(jobId), query: {} });
    expect(metrics.items.map((p) => [p.step, p.loss])).toEqual([
      [1, 6],
      [2, 5],
      [3, 4.5],
      [4, 4],
    ]);
    expect((await at.job(jobId)).progress).toMatchObject({ phase: 'train', fraction: 0.4, step: 4, loss: 4 });
    const { items } = await at.researcher.call(listJobEvents, { ...params(jobId), query: {} });
    expect(items.filter((e) => e.to === 'warning')).toHaveLength(1);
    await agent.report(ref, 'succeeded');
    await retire(agent);
  });

  it('whose agent falls silent is lost after lease and skew, and goes on elsewhere from its last state', async () => {
    const dead = await (await at.cluster('dead')).register();
    const { jobId } = await at.submit();
    const { ref } = await dead.begin(jobId);
    const file = await upload(dead, ref, 'state of step 5');
    const state = { incarnation: dead.incarnation, step: 5, chainSha256: 'c'.repeat(64), files: [file] };
    await dead.client.call(commitResumable, { params: ref, body: state });
    const silentSince = Date.now();
    const heir = await (await at.cluster('heir')).register();
    const next = await heir.offer(jobId, 15_000);
    expect(Date.now() - silentSince).toBeGreaterThanOrEqual(testLeaseMs - 500);
    expect(next.attempt).toBe(2);
    const { resume, runner } = await heir.accept(next);
    expect(runner).toMatchObject({ attempt: 2 });
    expect(resume).toMatchObject({ step: 5, files: [{ path: 'resume/state.bin', sha256: file.sha256 }] });
    const fetched = await fetch(resume?.files[0]?.url ?? '');
    expect(await fetched.text()).toBe('state of step 5');

    // The old attempt writes nothing any more, whatever it tries.
    const body = { incarnation: dead.incarnation };
    const call = dead.client;
    expect(
      await refusal(call.call(reportAttempt, { params: ref, body: { ...body, state: 'succeeded' } })),
    ).toBe('scheduling.attempt-fenced');
    expect(await refusal(call.call(commitResumable, { params: ref, body: { ...state, step: 6 } }))).toBe(
      'scheduling.attempt-fenced',
    );
    expect(await refusal(call.call(requestUploads, { params: ref, body: { ...body, files: [file] } }))).toBe(
      'scheduling.attempt-fenced',
    );
    expect(await refusal(call.call(acceptAttempt, { params: ref, body }))).toBe('scheduling.attempt-fenced');
    expect((await dead.sync(false)).stop).toEqual([ref]);
    expect(await at.job(jobId)).toMatchObject({ state: 'running', resumableStep: 5, attempts: 2 });

    await heir.report(next, 'running');
    await heir.report(next, 'succeeded');
    const { history } = await at.job(jobId);
    expect(history.map((a) => a.state)).toEqual(['lost', 'succeeded']);
    await retire(dead, heir);
  });

  it('lives on while it is renewed', async () => {
    const agent = await (await at.cluster('alive')).register();
    const { jobId } = await at.submit();
    const { ref } = await agent.begin(jobId);
    for (const endMs = Date.now() + 2 * testLeaseMs; Date.now() < endMs; ) {
      expect((await agent.sync()).renewed).toEqual([ref]);
    }
    expect(await at.job(jobId)).toMatchObject({ attempts: 1, attemptState: 'running' });
    await agent.report(ref, 'succeeded');
    await retire(agent);
  });

  it('of an earlier agent process is fenced off in every call', async () => {
    const old = await (await at.cluster('old')).register();
    const { jobId } = await at.submit();
    const { ref } = await old.begin(jobId);
    const fresh = await old.restart();
    expect(fresh.incarnation).toBe(2);
    const { incarnation } = old;
    const calls = [
      old.sync(),
      old.accept(ref),
      old.report(ref, 'succeeded'),
      old.client.call(reportLogs, {
        params: ref,
        body: { incarnation, chunks: [{ seq: 0, offset: 0, stream: 'stdout', text: 'x' }] },
      }),
      old.client.call(requestUploads, {
        params: ref,
        body: { incarnation, files: [{ sha256: 'a'.repeat(64), sizeBytes: 1 }] },
      }),
      old.client.call(declineAttempt, { params: ref, body: { incarnation, reason: 'no' } }),
    ];
    expect(new Set(await Promise.all(calls.map(refusal)))).toEqual(new Set(['scheduling.agent-superseded']));
    // Nor may the new process speak for what the old one held.
    expect(await refusal(fresh.report(ref, 'succeeded'))).toBe('scheduling.attempt-fenced');
    expect(await stateOf(jobId)).toBe('running');
    const again = await fresh.offer(jobId, 15_000);
    expect(again.attempt).toBe(2);
    await fresh.accept(again);
    await fresh.report(again, 'running');
    await fresh.report(again, 'succeeded');
    await retire(fresh);
  });

  it('that a restarted agent has seen dead goes back to the queue without waiting for the lease', async () => {
    const old = await (await at.cluster('quick')).register();
    const { jobId } = await at.submit();
    const { ref } = await old.begin(jobId);
    const fresh = await old.restart([ref]);
    expect((await at.job(jobId)).history[0]).toMatchObject({ state: 'lost' });
    const next = await fresh.offer(jobId, 1_500);
    await fresh.accept(next);
    await fresh.report(next, 'running');
    await fresh.report(next, 'succeeded');
    await retire(fresh);
  });

  it('that nobody accepts expires, and the job is offered elsewhere', async () => {
    const deaf = await (await at.cluster('deaf')).register();
    const { jobId } = await at.submit();
    await deaf.offer(jobId);
    const other = await (await at.cluster('other')).register();
    // The deaf one goes on syncing, so it is up and would be chosen again.
    const offered = other.offer(jobId, 15_000);
    for (let i = 0; i < 8; i++) await deaf.sync();
    const next = await offered;
    expect((await at.job(jobId)).history[0]).toMatchObject({ state: 'expired' });
    await other.accept(next);
    await other.report(next, 'running');
    await other.report(next, 'succeeded');
    await retire(deaf, other);
  });

  it('that an agent declines goes elsewhere, and does not count as a failure', async () => {
    const proud = await (await at.cluster('proud')).register();
    const { jobId } = await at.submit({ attemptLimit: 1 });
    const ref = await proud.offer(jobId);
    await proud.client.call(declineAttempt, {
      params: ref,
      body: { incarnation: proud.incarnation, reason: 'not at night' },
    });
    await expect
      .poll(async () => (await at.researcher.call(explainJob, params(jobId))).code)
      .toBe('retry-later');
    const other = await (await at.cluster('humble')).register();
    const { ref: next } = await other.begin(jobId);
    await other.report(next, 'succeeded');
    expect((await at.job(jobId)).history.map((a) => a.state)).toEqual(['expired', 'succeeded']);
    await retire(proud, other);
  });
});

describe('failures', () => {
  it('are tried again up to the limit, and then explained', async () => {
    const agent = await (await at.cluster('failing')).register();
    const { jobId } = await at.submit({ attemptLimit: 2 });
    for (let n = 1; n <= 2; n++) {
      const { ref } = await agent.begin(jobId);
      expect(ref.attempt).toBe(n);
      await agent.report(ref, 'failed', { reason: `crashed: ${n}`, exitCode: 1 });
    }
    expect(await at.job(jobId)).toMatchObject({
      state: 'failed',
      reason: '2 of 2 attempts failed; the last one: crashed: 2',
    });
    await retire(agent);
  });

  it('that bad input caused are not tried again', async () => {
    const agent = await (await at.cluster('bad')).register();
    const { jobId } = await at.submit();
    const { ref } = await agent.begin(jobId);
    await agent.report(ref, 'failed', { reason: 'corpus-empty: eng', exitCode: 2, retriable: false });
    expect(await at.job(jobId)).toMatchObject({ state: 'failed', reason: 'corpus-empty: eng', attempts: 1 });
    await retire(agent);
  });

  it('of a preempted job cost no attempt', async () => {
    const agent = await (await at.cluster('preempt')).register();
    const { jobId } = await at.submit({ attemptLimit: 1 });
    const { ref } = await agent.begin(jobId);
    await agent.report(ref, 'preempted', { reason: 'the agent is stopping' });
    const { ref: next } = await agent.begin(jobId);
    await agent.report(next, 'succeeded');
    expect(await stateOf(jobId)).toBe('succeeded');
    await retire(agent);
  });

  it('of files that were never uploaded, or differ, commit nothing', async () => {
    const agent = await (await at.cluster('files')).register();
    const { jobId } = await at.submit();
    const { ref } = await agent.begin(jobId);
    const { incarnation } = agent;
    const missing = { path: 'a', sizeBytes: 1, sha256: 'a'.repeat(64) };
    const body = { incarnation, step: 1, chainSha256: 'c'.repeat(64), files: [missing] };
    expect(await refusal(agent.client.call(commitResumable, { params: ref, body }))).toBe(
      'object-store.not-found',
    );
    const file = await upload(agent, ref, 'checkpoint');
    const wrong = { ...file, sizeBytes: file.sizeBytes + 1 };
    expect(
      await refusal(agent.client.call(commitResumable, { params: ref, body: { ...body, files: [wrong] } })),
    ).toBe('object-store.checksum-mismatch');
    const checkpoint = {
      ...body,
      files: [file],
      revision: 'step1',
      tokensSeen: 1,
      bytesSeen: 1,
      loss: 1,
      weightsSha256: 'd'.repeat(64),
    };
    const commit = () => agent.client.call(commitCheckpoint, { params: ref, body: checkpoint });
    expect(await commit()).toEqual({ committed: true });
    expect(await commit()).toEqual({ committed: false });
    expect(await at.job(jobId)).toMatchObject({ checkpoints: 1, lastCheckpointStep: 1, resumableStep: null });
    await agent.report(ref, 'succeeded');
    await retire(agent);
  });
});

describe('a cancel', () => {
  const cancel = (jobId: string) =>
    at.researcher.call(cancelJob, { ...params(jobId), body: { reason: 'not needed' } });

  it('ends a waiting or offered job at once, and again changes nothing', async () => {
    const agent = await (await at.cluster('cancel')).register();
    const { jobId } = await at.submit();
    await agent.offer(jobId);
    expect(await cancel(jobId)).toMatchObject({ state: 'cancelled', reason: 'not needed' });
    expect(await cancel(jobId)).toMatchObject({ state: 'cancelled' });
    expect(await refusal(agent.accept({ jobId, attempt: 1 }))).toBe('scheduling.attempt-fenced');
    await retire(agent);
  });

  it('of a running job is told to the agent, and holds even if the agent dies', async () => {
    const agent = await (await at.cluster('told')).register();
    const { jobId } = await at.submit();
    const { ref } = await agent.begin(jobId);
    expect(await cancel(jobId)).toMatchObject({ state: 'running', cancelRequested: true });
    expect((await agent.sync()).cancel).toEqual([{ ...ref, reason: 'not needed' }]);
    await expect.poll(() => stateOf(jobId), { timeout: 15_000 }).toBe('cancelled');
    await retire(agent);
  });

  it('that races with the end leaves exactly one end', async () => {
    const agent = await (await at.cluster('race')).register();
    for (let round = 0; round < 6; round++) {
      const { jobId } = await at.submit();
      const { ref } = await agent.begin(jobId);
      await Promise.all([cancel(jobId), refusal(agent.report(ref, 'succeeded'))]);
      expect(await stateOf(jobId)).toBe('succeeded');
      const ends = await at.transactor.read.rows(
        `SELECT 1 FROM platform.outbox WHERE type = 'job.ended' AND payload->>'jobId' = $1`,
        [jobId],
      );
      expect(ends).toHaveLength(1);
    }
    await retire(agent);
  });
});

describe('many agents and calls at once', () => {
  it('never run a job twice', async () => {
    const agents = await Promise.all(
      ['m1', 'm2', 'm3'].map(async (name) => (await at.cluster(name)).register()),
    );
    const jobs = await Promise.all(Array.from({ length: 12 }, () => at.submit()));
    const done = new Set<string>();
    await Promise.all(
      agents.map(async (agent) => {
        for (const endMs = Date.now() + 30_000; done.size < jobs.length && Date.now() < endMs; ) {
          const [sync] = await Promise.all([agent.sync(), agent.sync(false)]);
          await Promise.all(
            sync.offers.map(async (offer) => {
              const ref = { jobId: offer.jobId, attempt: offer.attempt };
              await Promise.all([agent.accept(ref), agent.accept(ref)]);
              await Promise.all([agent.report(ref, 'running'), agent.report(ref, 'running')]);
              await Promise.all([
                refusal(agent.report(ref, 'succeeded')),
                refusal(agent.report(ref, 'succeeded')),
              ]);
              expect(done.has(ref.jobId)).toBe(false);
              done.add(ref.jobId);
            }),
          );
        }
      }),
    );
    expect(done.size).toBe(jobs.length);
    for (const { jobId } of jobs)
      expect(await at.job(jobId)).toMatchObject({ state: 'succeeded', attempts: 1 });
    await retire(...agents);
  });
});

describe('a drain', () => {
  it('by people lets work finish, takes nothing new, and is undone by resume', async () => {
    const agent = await (await at.cluster('drain')).register();
    const { jobId } = await at.submit();
    const { ref } = await agent.begin(jobId);
    const of = { params: { clusterId: agent.clusterId } };
    expect(await at.operator.call(drainCluster, { ...of, body: { reason: 'new cooling' } })).toMatchObject({
      state: 'draining',
      stateReason: 'new cooling',
    });
    const waiting = await at.submit();
    await agent.sync();
    await agent.report(ref, 'succeeded');
    await agent.sync();
    expect(await at.operator.call(showCluster, of)).toMatchObject({ state: 'drained' });
    expect((await at.researcher.call(explainJob, params(waiting.jobId))).code).toBe('cluster-unavailable');
    expect(await at.operator.call(resumeCluster, { ...of, body: {} })).toMatchObject({ state: 'active' });
    const { ref: next } = await agent.begin(waiting.jobId);
    await agent.report(next, 'succeeded');
    await retire(agent);
  });

  it('by the agent holds against the wish of people', async () => {
    const agent = await (await at.cluster('own')).register();
    agent.draining = true;
    await agent.sync(false);
    const of = { params: { clusterId: agent.clusterId } };
    await agent.sync(false);
    expect(await at.operator.call(resumeCluster, { ...of, body: {} })).toMatchObject({ state: 'drained' });
    await retire(agent);
  });

  it('a silent cluster is down, and is back when it speaks', async () => {
    const agent = await (await at.cluster('silent')).register();
    const of = { params: { clusterId: agent.clusterId } };
    expect(await at.operator.call(showCluster, of)).toMatchObject({ state: 'active' });
    await expect
      .poll(async () => (await at.operator.call(showCluster, of)).state, { timeout: 15_000 })
      .toBe('down');
    await agent.sync(false);
    expect(await at.operator.call(showCluster, of)).toMatchObject({ state: 'active' });
    await retire(agent);
  });
});

it('an id that was never given to an agent is fenced, not a crash', async () => {
  const agent = await (await at.cluster('stranger')).register();
  const ref = { jobId: `job_${'0'.repeat(26)}`, attempt: 1 };
  expect(await refusal(agent.accept(ref))).toBe('scheduling.attempt-fenced');
  await retire(agent);
});
