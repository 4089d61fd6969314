import { serveModel, setServing, showJob, showServing } from '@beamtime/contracts';
import { ModelLoads, ServedModels } from '@beamtime/inference';
import type { JobId, ModelId } from '@beamtime/kernel';
import { newId } from '@beamtime/platform';
import { SubmitJob } from '@beamtime/scheduling';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { refusal, type SchedulingForTest, type SimulatedAgent, schedulingForTest } from '../testing.js';
import { KeepReplicas } from './keep-replicas.js';
import { fundOperations, seedModel } from './testing.js';

let at: SchedulingForTest;
let agent: SimulatedAgent;
let keeper: KeepReplicas;
let modelId: ModelId;
let gateways: ModelLoads[];

beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '60000' });
  await fundOperations(at);
  agent = await (await at.cluster('serving', { gpus: 64 })).register();
  keeper = at.service.app.get(KeepReplicas);
});
afterAll(() => at.close());
beforeEach(async () => {
  modelId = await seedModel(at);
  gateways = ['one', 'two'].map((name) => new ModelLoads(at.transactor, `${name} of ${modelId}`));
});

interface ReplicaRow {
  id: JobId;
  replica: number;
  state: string;
  leaving: boolean;
}
const replicas = () =>
  at.transactor.read.rows<ReplicaRow>(
    `SELECT id, replica, state, leaving_at IS NOT NULL AS leaving FROM scheduling.job
     WHERE model_id = $1 AND state IN ('queued', 'running') AND cancel_requested_at IS NULL ORDER BY replica`,
    [modelId],
  );
const everStarted = async () =>
  (await at.transactor.read.rows('SELECT id FROM scheduling.job WHERE model_id = $1', [modelId])).length;
const serving = () => at.researcher.call(showServing, { params: { modelId } });
const set = (body: object) => at.secretariat.call(setServing, { params: { modelId }, body });
const use = () => new ServedModels(at.transactor).use(modelId, true);

/** Lets time pass for this model: what was measured, used and begun lies so much longer ago. */
async function pass(ms: number): Promise<void> {
  const { read } = at.transactor;
  await at.transactor.do(async (tx) => {
    const moved = await tx.rows<{ slot: string; in_flight: number }>(
      'DELETE FROM inference.load_sample WHERE model_id = $1 RETURNING slot, in_flight',
      [modelId],
    );
    for (const { slot, in_flight } of moved) {
      await tx.rows(
        `INSERT INTO inference.load_sample VALUES ($1, $2, $3) ON CONFLICT (model_id, slot) DO NOTHING`,
        [modelId, Number(slot) - ms / 5_000, in_flight],
      );
    }
  });
  await read.rows(
    `UPDATE inference.served_model SET last_used_at = last_used_at - $2 * interval '1 millisecond',
       refused_at = refused_at - $2 * interval '1 millisecond' WHERE model_id = $1`,
    [modelId, ms],
  );
  await read.rows(
    `UPDATE scheduling.job SET leaving_at = leaving_at - $2 * interval '1 millisecond',
       ended_at = ended_at - $2 * interval '1 millisecond' WHERE model_id = $1`,
    [modelId, ms],
  );
}

/** The gateways together tell so much: requests that wait, and those at replicas, by their jobs. */
async function tell(waiting: number, atReplicas: Record<string, number> = {}): Promise<void> {
  const all: [JobId | null, number][] = [
    ...(waiting > 0 ? [[null, waiting] as [null, number]] : []),
    ...Object.entries(atReplicas).map(([jobId, count]): [JobId, number] => [jobId as JobId, count]),
  ];
  for (const [index, gateway] of gateways.entries()) {
    await gateway.report(
      all.map(([jobId, count]) => {
        const inFlight = Math.floor((count + index) / 2);
        return { modelId, jobId, inFlight, meanInFlight: inFlight };
      }),
    );
  }
}

/** The same for long enough to count. */
async function load(waiting: number, atReplicas: Record<string, number> = {}): Promise<void> {
  for (let slot = 0; slot < 2; slot++) {
    if (slot > 0) await pass(5_000);
    await tell(waiting, atReplicas);
    await keeper.look();
  }
}

/** Takes every offer of this model's jobs and runs it. */
async function run(count: number): Promise<string[]> {
  const began: string[] = [];
  while (began.length < count) {
    const { offers } = await agent.sync();
    for (const offer of offers) {
      await agent.accept(offer);
      await agent.report(offer, 'running');
      began.push(offer.jobId);
    }
  }
  return began;
}

describe('the replicas of a model', { timeout: 60_000 }, () => {
  it('grow with the load of all gateways to the ceiling, and not beyond', async () => {
    await set({ ceiling: 3, targetInFlight: 2 });
    expect(await replicas()).toEqual([]);
    await use();
    await keeper.look();
    expect(await replicas()).toMatchObject([{ replica: 1 }]);
    await load(4);
    expect((await replicas()).map((one) => one.replica)).toEqual([1, 2]);
    expect(await serving()).toMatchObject({ wanted: 2, starting: 2, live: 0, waiting: 4, ceiling: 3 });
    await load(100);
    expect((await replicas()).map((one) => one.replica)).toEqual([1, 2, 3]);
    const jobs = await run(3);
    await load(2, Object.fromEntries(jobs.map((jobId) => [jobId, 6])));
    expect(await serving()).toMatchObject({ wanted: 3, live: 3, starting: 0, inFlight: 18, waiting: 2 });
    expect((await serving()).replicas.every((one) => one.clusterId === agent.clusterId)).toBe(true);
    expect(await everStarted()).toBe(3);
  });

  it('get fewer after a quiet window, the least used first, which ends when its requests are done, and none in the end', async () => {
    await set({ ceiling: 3, targetInFlight: 2 });
    await use();
    await load(6);
    const jobs = (await run(3)).sort();
    const [oldest, middle, newest] = jobs as [string, string, string];
    const busy = { [oldest]: 2, [middle]: 0, [newest]: 2 };
    await load(0, busy);
    expect((await replicas()).filter((one) => one.leaving)).toEqual([]);
    // The quiet window has passed since there was more; what there is now is enough for two.
    const less = { [oldest]: 1, [middle]: 0, [newest]: 2 };
    await tell(0, less);
    await pass(300_000);
    await use();
    await load(0, less);
    expect((await replicas()).filter((one) => one.leaving)).toMatchObject([{ id: middle }]);
    expect(await serving()).toMatchObject({ wanted: 2, live: 2, leaving: 1 });
    // Something was sent there before all gateways had heard: it is not cut off.
    await tell(0, { [oldest]: 1, [middle]: 1, [newest]: 2 });
    await pass(20_000);
    await load(0, { [oldest]: 1, [middle]: 1, [newest]: 2 });
    expect((await at.job(middle)).state).toBe('running');
    expect((await at.researcher.call(showJob, { params: { jobId: middle } })).cancelRequested).toBe(false);
    await load(0, less);
    expect((await at.researcher.call(showJob, { params: { jobId: middle } })).cancelRequested).toBe(true);
    // Nobody asks any more.
    await tell(0, { [oldest]: 0, [newest]: 0 });
    await pass(900_000);
    await load(0, { [oldest]: 0, [newest]: 0 });
    expect(await serving()).toMatchObject({ wanted: 0, live: 0, leaving: 2 });
    await pass(20_000);
    await load(0, { [oldest]: 0, [newest]: 0 });
    expect(await replicas()).toEqual([]);
    for (const gateway of gateways) await gateway.report([]);
    await pass(4_000_000);
    await at.service.app.get(KeepReplicas).look();
    expect(await everStarted()).toBe(3);
  });

  it('are taken back while they leave when there is more to do again, before another is started', async () => {
    await set({ ceiling: 2, targetInFlight: 2 });
    await use();
    await load(4);
    const jobs = await run(2);
    const idle = Object.fromEntries(jobs.map((jobId) => [jobId, 0]));
    await tell(0, idle);
    await pass(300_000);
    await use();
    await load(0, idle);
    const [leaving] = (await replicas()).filter((one) => one.leaving);
    expect(leaving).toBeDefined();
    await load(0, Object.fromEntries(jobs.map((jobId) => [jobId, 4])));
    expect(await replicas()).toMatchObject([
      { replica: 1, leaving: false },
      { replica: 2, leaving: false },
    ]);
    expect(await everStarted()).toBe(2);
    const history = await at.transactor.read.rows(
      `SELECT to_state FROM scheduling.job_event WHERE job_id = $1 AND to_state IN ('leaving', 'taken-back') ORDER BY id`,
      [leaving?.id],
    );
    expect(history).toHaveLength(2);
  });

  it('are never more than wanted, however many decide at the same time', async () => {
    await set({ ceiling: 5, targetInFlight: 1 });
    await use();
    for (let slot = 0; slot < 2; slot++) {
      if (slot > 0) await pass(5_000);
      for (const gateway of gateways)
        await gateway.report([{ modelId, jobId: null, inFlight: 50, meanInFlight: 50 }]);
      await Promise.all(Array.from({ length: 8 }, (_, n) => (n % 2 ? keeper.look() : keeper.keep(modelId))));
    }
    expect((await replicas()).map((one) => one.replica)).toEqual([1, 2, 3, 4, 5]);
    expect(await everStarted()).toBe(5);
    // Also without the lock: a number is live once.
    await expect(
      at.transactor.read.rows(`UPDATE scheduling.job SET replica = 1 WHERE model_id = $1 AND replica = 2`, [
        modelId,
      ]),
    ).rejects.toThrow(/job_replica_once/);
    const again = {
      kind: 'serve' as const,
      name: 'again',
      runner: { kind: 'serve' } as never,
      inputs: [],
      resources: { gpus: 1, maxSeconds: 60, checkpoint: false },
      labId: at.labId,
      suiteId: null,
      modelId,
      studyId: null,
      priority: 0,
      attemptLimit: 1,
      requestKey: null,
      account: null,
      submittedBy: 'test',
    };
    const submit = at.service.app.get(SubmitJob, { strict: false });
    const made = await Promise.all(Array.from({ length: 6 }, () => submit.execute({ ...again, replica: 6 })));
    expect(made.filter((one) => one.ok && one.value.created)).toHaveLength(1);
  });

  it('are kept up to the floor without a request, through a lost agent and a replica that fails', async () => {
    const other = await (await at.cluster('spare', { gpus: 64 })).register();
    await set({ floor: 2, ceiling: 2 });
    expect((await replicas()).map((one) => one.replica)).toEqual([1, 2]);
    const jobs = (await replicas()).map((one) => one.id as string);
    const first = await Promise.race(
      [agent, other].map(async (one) => ({ one, ref: await one.offer(jobs[0]).catch(() => undefined) })),
    );
    if (first.ref === undefined) throw new Error('nobody was offered it');
    await first.one.accept(first.ref);
    await first.one.report(first.ref, 'running');
    // Its agent is lost: the lease runs out, and the same job goes on elsewhere.
    await at.transactor.read.rows(
      `UPDATE scheduling.attempt SET lease_expires_at = now() - interval '1 hour' WHERE job_id = $1`,
      [jobs[0]],
    );
    await expect.poll(async () => (await at.job(jobs[0] as string)).history[0]?.state).toBe('lost');
    expect((await replicas()).map((one) => one.id)).toEqual(jobs);
    // One that fails for good is replaced, not at once.
    let failed: string | undefined;
    while (failed === undefined) {
      for (const one of [agent, other]) {
        const offer = (await one.sync(false)).offers.find(({ jobId }) => jobs.includes(jobId));
        if (offer === undefined || failed !== undefined) continue;
        await one.accept(offer);
        await one.report(offer, 'failed', { reason: 'no such weights', retriable: false });
        failed = offer.jobId;
      }
    }
    await keeper.look();
    expect(await replicas()).toHaveLength(1);
    expect((await serving()).refusal?.reason).toMatch(/The last replica failed, no such weights.*in \d+ s/);
    await pass(30_000);
    await keeper.look();
    expect(await replicas()).toHaveLength(2);
    expect(await serving()).toMatchObject({ wanted: 2, refusal: null });
    await set({ floor: 0 });
    expect(await serving()).toMatchObject({ wanted: 0 });
  });

  it('count the jobs that people have it served by, and leave them alone', async () => {
    const { jobs } = await at.researcher.call(serveModel, { params: { modelId }, body: { maxSeconds: 600 } });
    await use();
    await keeper.look();
    expect(await replicas()).toMatchObject([{ id: jobs[0]?.jobId, replica: null }]);
    await set({ floor: 2, ceiling: 2 });
    expect((await replicas()).map((one) => one.replica)).toEqual([1, null]);
    await set({ floor: 0, ceiling: 1 });
    await pass(900_000);
    await keeper.look();
    await keeper.look();
    expect(await replicas()).toMatchObject([{ replica: null, leaving: false }]);
    // Who asks for a model that has replicas gets one of those.
    const again = await at.researcher.call(serveModel, { params: { modelId }, body: {} });
    expect(again.jobs).toMatchObject([{ jobId: jobs[0]?.jobId, created: false }]);
  });

  it('are asked for by a gateway that has none, and say why one cannot be started', async () => {
    await new ServedModels(at.transactor).use(modelId, false);
    await expect.poll(replicas, { timeout: 20_000 }).toMatchObject([{ replica: 1 }]);
    const empty = newId('Model');
    await at.transactor.read.rows(
      `INSERT INTO catalogue.model (id, name, name_key, state, visibility, lab_id, created_by, factors)
       VALUES ($1, $1, lower($1), 'planned', 'public', $2, 'test', '{}')`,
      [empty, at.labId],
    );
    modelId = empty as ModelId;
    await use();
    await keeper.look();
    expect((await serving()).refusal?.reason).toContain('catalogue.not-loadable');
    expect(await everStarted()).toBe(0);
  });
});

describe('the bounds of a model', { timeout: 60_000 }, () => {
  it('are in order and within limits; what is left out stays, and what equals the defaults is not kept', async () => {
    expect(await set({ floor: 1, ceiling: 4 })).toMatchObject({ floor: 1, ceiling: 4, targetInFlight: 8 });
    expect(await set({ idleSeconds: 120 })).toMatchObject({ floor: 1, ceiling: 4, idleSeconds: 120 });
    expect(await refusal(set({ floor: 5 }))).toBe('limit.exceeded');
    expect(await refusal(set({ ceiling: 33 }))).toBe('request.invalid');
    expect(await refusal(set({ ceiling: 0 }))).toBe('request.invalid');
    expect(await refusal(set({ floor: -1 }))).toBe('request.invalid');
    expect(await refusal(set({}))).toBe('request.invalid');
    expect(await serving()).toMatchObject({ floor: 1, ceiling: 4, setBy: expect.stringMatching(/^per_/) });
    expect(await set({ floor: 0, ceiling: 1, idleSeconds: 900 })).toMatchObject({ setBy: null, wanted: 0 });
    const audit = await at.transactor.read.rows<{ details: unknown }>(
      `SELECT details FROM platform.audit_entry WHERE action = 'serving.set' AND subject = $1 ORDER BY id`,
      [modelId],
    );
    expect(audit).toHaveLength(3);
    expect(audit[0]?.details).toMatchObject({ before: { floor: 0 }, after: { floor: 1, ceiling: 4 } });
  });

  it('say how much of a GPU each new replica has, where a cluster shares its GPUs', async () => {
    const sharing = await at.cluster('sharing', { gpus: 1, gpuType: 'shared' });
    sharing.policy = { ...sharing.policy, gpuParts: 4 };
    await sharing.register();
    expect(await set({ floor: 2, ceiling: 2, gpuShareMilli: 250 })).toMatchObject({ gpuShareMilli: 250 });
    await keeper.look();
    const jobs = await Promise.all((await replicas()).map(({ id }) => at.job(id)));
    expect(jobs.map(({ resources }) => resources)).toMatchObject([
      { gpus: 1, gpuShareMilli: 250 },
      { gpus: 1, gpuShareMilli: 250 },
    ]);
    for (const { jobId } of jobs) await sharing.begin(jobId);
    await set({ floor: 0, ceiling: 1, gpuShareMilli: 1_000 });
    expect(await refusal(set({ gpuShareMilli: 5 }))).toBe('request.invalid');
    expect(await serving()).toMatchObject({ setBy: null, gpuShareMilli: 1_000 });
  });

  it('are kept whole when two people set different ones at the same time', async () => {
    await Promise.all([set({ floor: 1, ceiling: 2 }), set({ targetInFlight: 3 }), set({ idleSeconds: 60 })]);
    expect(await serving()).toMatchObject({ floor: 1, ceiling: 2, targetInFlight: 3, idleSeconds: 60 });
    await set({ floor: 0 });
  });

  it('are set by the secretariat, and by operators for models of their own lab alone', async () => {
    const by = (who: SchedulingForTest['operator'], ceiling: number) =>
      who.call(setServing, { params: { modelId }, body: { ceiling } });
    expect(await by(at.operator, 2)).toMatchObject({ ceiling: 2 });
    expect(await refusal(by(at.researcher, 3))).toBe('auth.forbidden');
    modelId = await seedModel(at, { suiteId: newId('Suite') });
    expect(await refusal(by(at.operator, 2))).toBe('auth.forbidden');
    expect(await by(at.secretariat, 2)).toMatchObject({ ceiling: 2 });
    modelId = newId('Model');
    expect(await refusal(by(at.secretariat, 2))).toBe('resource.not-found');
    expect(await refusal(serving())).toBe('resource.not-found');
  });
});
