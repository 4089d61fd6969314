import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  cancelJob,
  drainCluster,
  listJobEvents,
  readJobLogs,
  readJobMetrics,
  registerCluster,
  resumeCluster,
  showCluster,
  submitJob,
} from '@beamtime/contracts';
import { TUNNEL_AUTHORITY, TunnelGate, TunnelHub } from '@beamtime/inference';
import type { JobId } from '@beamtime/kernel';
import { AdmitTunnel, AgentBell } from '@beamtime/scheduling';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentProcess } from './agent-process.js';
import { schedulerServiceModule } from './index.js';
import { type SchedulingForTest, schedulingForTest, trainTemplate } from './testing.js';

/** Each test has a kind of GPU of its own, so that no job meets the clusters of another test. */
let gpuType = '';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

let at: SchedulingForTest;
const agents: AgentProcess[] = [];
beforeAll(async () => {
  at = await schedulingForTest(
    { BEAMTIME_LEASE_TTL_MS: '8000' },
    {
      module: class WithTunnels {},
      imports: [schedulerServiceModule],
      providers: [TunnelHub, TunnelGate, { provide: TUNNEL_AUTHORITY, useClass: AdmitTunnel }],
    },
  );
});
beforeEach(() => {
  gpuType = `of-${randomUUID().slice(0, 8)}`;
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.remove();
});
afterAll(async () => {
  await at.close();
});

async function agent(name: string, policy: object = {}, more: object = {}): Promise<AgentProcess> {
  const { cluster, agentKey } = await at.operator.call(registerCluster, {
    body: { labId: at.labId, name: `${name}-${randomUUID().slice(0, 8)}` },
  });
  const made = new AgentProcess(
    cluster.clusterId,
    at.service.url,
    agentKey,
    gpuType,
    undefined,
    policy,
    more,
  );
  agents.push(made);
  return made;
}

async function up(one: AgentProcess): Promise<AgentProcess> {
  await expect
    .poll(async () => (await at.operator.call(showCluster, { params: { clusterId: one.clusterId } })).state, {
      timeout: 20_000,
    })
    .toBe('active');
  return one;
}

function train(steps: number, more: object = {}) {
  return at.researcher.call(submitJob, {
    body: {
      labId: at.labId,
      runner: { ...trainTemplate, training: { ...trainTemplate.training, steps, ...more } },
      resources: { gpus: 1, gpuType, maxSeconds: 600 },
      attemptLimit: 2,
    },
  });
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The weights that an undisturbed run of the stand-in gives. */
function undisturbedWeights(steps: number): string {
  let chain = sha256(JSON.stringify(trainTemplate.seeds));
  for (let step = 0; step < steps; step++) chain = sha256(chain);
  return sha256(chain);
}

async function ends(jobId: string, timeout = 40_000) {
  await expect
    .poll(async () => (await at.job(jobId)).state, { timeout })
    .toMatch(/succeeded|failed|cancelled/);
  return at.job(jobId);
}

async function weightsOf(jobId: string): Promise<string | undefined> {
  const row = await at.transactor.read.row<{ weights_sha256: string }>(
    'SELECT weights_sha256 FROM scheduling.checkpoint WHERE job_id = $1 ORDER BY step DESC LIMIT 1',
    [jobId],
  );
  return row?.weights_sha256;
}

describe('a real agent', { timeout: 120_000 }, () => {
  it('trains, streams loss, stores the checkpoint, and leaves nothing behind', async () => {
    const one = await up((await agent('simple')).start());
    const { jobId } = await train(12);
    const job = await ends(jobId);
    expect(job).toMatchObject({ state: 'succeeded', attempts: 1, checkpoints: 1, lastCheckpointStep: 12 });
    expect(await weightsOf(jobId)).toBe(undisturbedWeights(12));
    const metrics = await at.researcher.call(readJobMetrics, { params: { jobId }, query: {} });
    expect(metrics.items.map((point) => point.step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    await expect.poll(() => readdirSync(join(one.stateDir, 'attempts'))).toEqual([]);
    // What evaluates or serves the model finds its weights there, and the facility knows.
    const weights = (await weightsOf(jobId)) ?? '';
    await expect.poll(() => readdirSync(join(one.stateDir, 'cache'))).toContain(weights);
    const told = () =>
      at.transactor.read.rows('SELECT cluster_id FROM scheduling.cached_input WHERE digits = $1', [
        weights.slice(0, 16),
      ]);
    await expect.poll(told, { timeout: 10_000 }).toEqual([{ cluster_id: one.clusterId }]);
    expect(await one.stop('SIGTERM')).toBe(0);
  });

  it('killed with SIGKILL takes its program along; another cluster resumes and gets the same weights', async () => {
    const first = await up((await agent('killed')).start());
    const steps = 60;
    const { jobId } = await train(steps);
    await expect
      .poll(async () => (await at.job(jobId)).resumableStep ?? 0, { timeout: 20_000 })
      .toBeGreaterThanOrEqual(4);
    const [program] = first.programs();
    expect(program).toBeDefined();
    // Before its heir begins: on a busy machine that takes longer than the program has left.
    await first.stop('SIGKILL');
    const second = await up((await agent('heir')).start());
    await expect.poll(() => isAlive(program ?? 0), { timeout: 10_000 }).toBe(false);
    const job = await ends(jobId);
    expect(job.state).toBe('succeeded');
    expect(job.history.map((a) => a.state)).toEqual(['lost', 'succeeded']);
    expect(job).toMatchObject({ clusterId: second.clusterId });
    expect(await weightsOf(jobId)).toBe(undisturbedWeights(steps));
    const { items } = await at.researcher.call(listJobEvents, { params: { jobId }, query: {} });
    expect(items.find((event) => event.to === 'resumed')?.reason).toMatch(/from step [1-9]/);
    // Started again, the dead one is a new incarnation and works.
    first.start();
    await expect
      .poll(
        async () =>
          (await at.operator.call(showCluster, { params: { clusterId: first.clusterId } })).incarnation,
        { timeout: 20_000 },
      )
      .toBe(2);
  });

  it('stopped in order hands its work back with its state saved', async () => {
    const one = await up((await agent('ordered')).start());
    const { jobId } = await train(50);
    await expect
      .poll(async () => (await at.job(jobId)).progress?.step ?? 0, { timeout: 20_000 })
      .toBeGreaterThan(4);
    expect(await one.stop('SIGTERM')).toBe(0);
    const saved = await at.job(jobId);
    expect(saved).toMatchObject({ state: 'queued' });
    expect(saved.history[0]).toMatchObject({ state: 'preempted' });
    expect(saved.resumableStep).toBeGreaterThan(4);
    one.start();
    expect(await ends(jobId)).toMatchObject({ state: 'succeeded', attempts: 2 });
    expect(await weightsOf(jobId)).toBe(undisturbedWeights(50));
  });

  it('takes a job up again that it has just handed back, without declining it meanwhile', async () => {
    const one = await up((await agent('again')).start());
    const { jobId } = await train(60, { learningRate: 0.125 });
    const times = 4;
    for (let attempt = 1; attempt <= times; attempt++) {
      await expect
        .poll(
          async () => {
            const { attempts, attemptState } = await at.job(jobId);
            return [attempts, attemptState];
          },
          { timeout: 20_000, interval: 20 },
        )
        .toEqual([attempt, 'running']);
      await at.transactor.read.rows(
        `UPDATE scheduling.attempt SET preempt_reason = 'for this test' WHERE job_id = $1 AND ended_at IS NULL`,
        [jobId],
      );
      at.service.app.get(AgentBell).ring(one.clusterId);
    }
    const { state, history } = await ends(jobId);
    expect(state).toBe('succeeded');
    expect(history.map((attempt) => attempt.state)).toEqual([
      ...Array.from({ length: times }, () => 'preempted'),
      'succeeded',
    ]);
  });

  it('keeps the state of an attempt that failed, which goes on where that lies', async () => {
    // Of two own clusters a job starts in the first, if nothing speaks for the other.
    const first = await up((await agent('first')).start());
    const second = await up((await agent('second')).start());
    const ofFirst = { params: { clusterId: first.clusterId } };
    await at.operator.call(drainCluster, { ...ofFirst, body: { reason: 'it is to come back' } });
    const { jobId } = await train(100);
    await expect
      .poll(async () => (await at.job(jobId)).resumableStep ?? 0, { timeout: 20_000 })
      .toBeGreaterThanOrEqual(4);
    await at.operator.call(resumeCluster, { ...ofFirst, body: { reason: 'it is back' } });
    process.kill(second.programs()[0] ?? 0, 'SIGKILL');
    const job = await ends(jobId);
    expect(job).toMatchObject({ state: 'succeeded', clusterId: second.clusterId, attempts: 2 });
    expect(await weightsOf(jobId)).toBe(undisturbedWeights(100));
    const { items } = await at.researcher.call(listJobEvents, { params: { jobId }, query: {} });
    const offers = items.filter((event) => event.to === 'offered').map(({ reason }) => reason);
    expect(offers.at(-1)).toMatch(
      new RegExp(`^to ${second.clusterId}, which holds .* of its inputs and saved state$`),
    );
  });

  it('tells why a program crashed, tries again, and keeps its last words', async () => {
    await up((await agent('crash')).start());
    const { jobId } = await train(20, { learningRate: 0.5 });
    const job = await ends(jobId);
    expect(job).toMatchObject({ state: 'failed', attempts: 2 });
    expect(job.reason).toContain('exit code 1');
    expect(job.reason).toContain('illegal memory access');
    const logs = await at.researcher.call(readJobLogs, { params: { jobId }, query: {} });
    expect(logs.items.map((chunk) => chunk.text).join('')).toContain('illegal memory access');
  });

  it('takes nonsense on stdout for text and is not disturbed by it', async () => {
    await up((await agent('nonsense')).start());
    const { jobId } = await train(6, { learningRate: 0.25 });
    expect(await ends(jobId)).toMatchObject({ state: 'succeeded' });
    const logs = await at.researcher.call(readJobLogs, { params: { jobId }, query: {} });
    expect(logs.items.map((chunk) => chunk.text).join('')).toContain('nonsense 6');
  });

  it('does not try again what the runner refused', async () => {
    await up((await agent('refused')).start());
    const { jobId } = await train(6, { learningRate: 0.75 });
    expect(await ends(jobId)).toMatchObject({
      state: 'failed',
      attempts: 1,
      reason: 'bad-job: the learning rate is refused',
    });
  });

  it('ends a program that was cancelled', async () => {
    const one = await up((await agent('cancelled')).start());
    const { jobId } = await train(2_000);
    await expect.poll(async () => (await at.job(jobId)).attemptState, { timeout: 20_000 }).toBe('running');
    const [program] = one.programs();
    await at.researcher.call(cancelJob, { params: { jobId }, body: { reason: 'enough' } });
    expect(await ends(jobId)).toMatchObject({ state: 'cancelled', reason: 'enough' });
    await expect.poll(() => isAlive(program ?? 0)).toBe(false);
  });

  it('with a wrong key says so and ends', async () => {
    const wrong = new AgentProcess('clu_x', at.service.url, 'bta_this_is_no_key_of_any_cluster', gpuType);
    agents.push(wrong.start());
    await expect.poll(() => wrong.process?.exitCode, { timeout: 20_000 }).toBe(78);
    expect(wrong.stderr).toContain("does not accept this agent's key");
  });

  it('ends when a newer process of its cluster takes over', async () => {
    const one = await up((await agent('twin')).start());
    const twin = one.twin();
    agents.push(twin.start());
    await expect.poll(() => one.process?.exitCode, { timeout: 20_000 }).toBe(3);
    expect(one.stderr).toContain('newer agent');
  });

  it('obeys its own policy even against the facility', async () => {
    const strict = await up((await agent('strict', { secondsPerJobMax: 10 })).start());
    await expect.poll(() => strict.stderr, { timeout: 10_000 }).toContain('registered');
    await expect(train(5)).rejects.toThrow(/unschedulable/);
  });

  it('runs programs that share a GPU beside each other, each told what to keep to', async () => {
    const gpus = { count: 2, type: gpuType, devices: ['GPU-a', 'GPU-b'] };
    const one = await up((await agent('sharing', { gpuParts: 2 }, { gpus })).start());
    const serve = async (gpuShareMilli: number) =>
      (
        await at.researcher.call(submitJob, {
          body: {
            labId: at.labId,
            runner: { kind: 'serve', revisions: [{ revision: 'step1', path: 'revisions/step1' }] },
            resources: { gpus: 1, gpuShareMilli, gpuType, maxSeconds: 600 },
          },
        })
      ).jobId;
    const hub = at.service.app.get(TunnelHub);
    const jobs: string[] = [];
    for (const share of [500, 500, 600]) {
      jobs.push(await serve(share));
      await expect.poll(() => hub.list().length, { timeout: 20_000 }).toBe(jobs.length);
    }
    const told = one.programs().map((pid) => {
      const lines = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      const of = (name: string) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
      return `${of('CUDA_VISIBLE_DEVICES')} ${of('BEAMTIME_GPU_MEMORY_FRACTION')}`;
    });
    expect(told.sort()).toEqual(['GPU-a 0.5', 'GPU-a 0.5', 'GPU-b 0.6']);
    for (const jobId of jobs) await at.researcher.call(cancelJob, { params: { jobId }, body: {} });
    for (const jobId of jobs) expect(await ends(jobId)).toMatchObject({ state: 'cancelled' });
    // Both are whole again.
    const whole = await train(2);
    expect(await ends(whole.jobId)).toMatchObject({ state: 'succeeded', clusterId: one.clusterId });
  });

  it('connects a served model to the gateway, and the answer comes back through the tunnel', async () => {
    await up((await agent('serve')).start());
    const { jobId } = await at.researcher.call(submitJob, {
      body: {
        labId: at.labId,
        runner: { kind: 'serve', revisions: [{ revision: 'step1', path: 'revisions/step1' }] },
        resources: { gpus: 1, gpuType, maxSeconds: 600 },
      },
    });
    const hub = at.service.app.get(TunnelHub);
    await expect
      .poll(() => hub.list().map((live) => live.revisions), { timeout: 20_000 })
      .toEqual([['step1']]);
    const answer = await hub.request(jobId as JobId, {
      method: 'POST',
      path: '/completions',
      body: { a: 1 },
      timeoutMs: 5_000,
    });
    const parts: Uint8Array[] = [];
    for await (const part of answer.body) parts.push(part);
    expect(JSON.parse(Buffer.concat(parts).toString())).toEqual({
      path: '/completions',
      body: { a: 1 },
      attempt: 1,
    });
    await at.researcher.call(cancelJob, { params: { jobId }, body: {} });
    expect(await ends(jobId)).toMatchObject({ state: 'cancelled' });
    await expect.poll(() => hub.list()).toEqual([]);
  });
});
