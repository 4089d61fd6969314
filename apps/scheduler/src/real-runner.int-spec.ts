import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cancelJob, registerCluster, showCluster } from '@beamtime/contracts';
import { OBJECT_STORE, type ObjectStore } from '@beamtime/platform';
import { SubmitJob } from '@beamtime/scheduling';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentProcess } from './agent-process.js';
import { type SchedulingForTest, schedulingForTest } from './testing.js';

const python = fileURLToPath(new URL('../../../.beamtime/venv/bin/python', import.meta.url));

// `npm test` sets the runner up first; without it there is nothing to run here.
describe.skipIf(!existsSync(python))('the real runner under real agents', { timeout: 240_000 }, () => {
  let at: SchedulingForTest;
  const agents: AgentProcess[] = [];
  /** Of each test its own: what agents of an earlier one were offered goes to nobody else. */
  let gpuType: string;
  const objectKey = `test/${randomUUID()}`;
  const words = 'the cat sat on a mat and saw every dog run home to eat some bread'.split(' ');
  const text = Array.from({ length: 20_000 }, (_, i) => words[(i * i + 7 * i) % words.length]).join(' ');

  beforeAll(async () => {
    // A loaded machine starts torch slowly; the lease is long enough not to be what is tested.
    at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '6000' });
    const stored = await at.service.app.get<ObjectStore>(OBJECT_STORE).put(objectKey, Buffer.from(text));
    expect(stored.ok).toBe(true);
  });
  beforeEach(() => {
    gpuType = `real-${randomUUID().slice(0, 8)}`;
  });
  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.remove();
  });
  afterAll(() => at.close());

  async function agent(name: string): Promise<AgentProcess> {
    const { cluster, agentKey } = await at.operator.call(registerCluster, {
      body: { labId: at.labId, name: `${name}-${randomUUID().slice(0, 8)}` },
    });
    const made = new AgentProcess(cluster.clusterId, at.service.url, agentKey, gpuType, [
      python,
      '-m',
      'beamtime_runner',
    ]).start();
    agents.push(made);
    const params = { clusterId: cluster.clusterId };
    await expect
      .poll(async () => (await at.operator.call(showCluster, { params })).state, { timeout: 30_000 })
      .toBe('active');
    return made;
  }

  /** Hands in a training of so many steps; of `most` GPUs, if need be with `least`. */
  async function train(steps = 160, most = 1, least = most): Promise<string> {
    const made = await at.service.app.get(SubmitJob, { strict: false }).execute({
      kind: 'train',
      name: 'real',
      runner: {
        kind: 'train',
        model: { family: 'gpt-neox', hiddenSize: 32, layers: 2, heads: 2, contextTokens: 32 },
        tokenizer: { kind: 'byte' },
        data: { corpora: [{ id: 'eng', path: 'corpora/eng.txt', language: 'eng', script: 'Latn' }] },
        seeds: { initialisation: 1, dataOrder: 2 },
        training: { steps, batchSequences: 4, learningRate: 0.001 },
        checkpoints: { schedule: [0, steps], resumeEverySteps: 20 },
      },
      inputs: [
        {
          path: 'corpora/eng.txt',
          sizeBytes: Buffer.byteLength(text),
          sha256: createHash('sha256').update(text).digest('hex'),
          objectKey,
        },
      ],
      resources: { gpus: most, gpusMin: least, gpuType, maxSeconds: 3_600, checkpoint: true },
      labId: at.labId,
      suiteId: null,
      modelId: null,
      studyId: null,
      priority: 0,
      attemptLimit: 5,
      requestKey: null,
      account: null,
      submittedBy: 'test',
    });
    if (!made.ok) throw new Error(made.error.detail);
    return made.value.jobId;
  }

  async function weightsAtTheEnd(jobId: string, steps = 160): Promise<string> {
    await expect
      .poll(async () => (await at.job(jobId)).state, { timeout: 120_000 })
      .toMatch(/succeeded|failed|cancelled/);
    expect(await at.job(jobId)).toMatchObject({
      state: 'succeeded',
      reason: null,
      lastCheckpointStep: steps,
    });
    const row = await at.transactor.read.row<{ weights_sha256: string }>(
      'SELECT weights_sha256 FROM scheduling.checkpoint WHERE job_id = $1 AND step = $2',
      [jobId, steps],
    );
    return row?.weights_sha256 ?? '';
  }

  it('gives the same weights, bit for bit, whether or not an agent was killed on the way', async () => {
    const first = await agent('first');
    const undisturbed = await weightsAtTheEnd(await train());
    expect(undisturbed).toMatch(/^[0-9a-f]{64}$/);

    const jobId = await train();
    await expect
      .poll(async () => (await at.job(jobId)).resumableStep ?? 0, { timeout: 60_000 })
      .toBeGreaterThanOrEqual(20);
    // Killed at once: while another agent starts, a quick machine would come to the end of the job.
    await first.stop('SIGKILL');
    await agent('second');
    expect(await weightsAtTheEnd(jobId)).toBe(undisturbed);
    const { history } = await at.job(jobId);
    expect(history.map((attempt) => attempt.state)).toEqual(['lost', 'succeeded']);
  });

  it('gives the same weights when an elastic training goes on with two processes after one', async () => {
    const steps = 500;
    await agent('of-two');
    const other = await train(1_000_000);
    await expect.poll(async () => (await at.job(other)).attemptState, { timeout: 60_000 }).toBe('running');
    const jobId = await train(steps, 2, 1);
    await expect
      .poll(async () => (await at.job(jobId)).resumableStep ?? 0, { timeout: 60_000 })
      .toBeGreaterThanOrEqual(20);
    // As if it had been running for longer than anybody is left alone.
    await at.transactor.read.rows(
      `UPDATE scheduling.attempt SET running_at = running_at - interval '31 minutes' WHERE job_id = $1`,
      [jobId],
    );
    await at.operator.call(cancelJob, { params: { jobId: other }, body: {} });
    const weights = await weightsAtTheEnd(jobId, steps);
    const { history } = await at.job(jobId);
    expect(history.map(({ gpus, state }) => [gpus, state])).toEqual([
      [1, 'preempted'],
      [2, 'succeeded'],
    ]);
    expect(await weightsAtTheEnd(await train(steps, 2), steps)).toBe(weights);
  });
});
