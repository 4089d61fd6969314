import { createHash, randomUUID } from 'node:crypto';
import {
  type ApiClient,
  createApiClient,
  listJobEvents,
  registerCluster,
  showCluster,
  showJob,
  submitJob,
} from '@beamtime/contracts';
import { seedLab, seedPerson } from '@beamtime/identity/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess } from './agent-process.js';
import { type SchedulingForTest, schedulingForTest, trainTemplate } from './testing.js';

/** An operator may set it; half an hour, as by default, is long for a test. */
const minRunMs = 1_500;

let at: SchedulingForTest;
const agents: AgentProcess[] = [];
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_MIN_RUN_MS: String(minRunMs) });
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.remove();
});
afterAll(() => at.close());

interface Lab {
  readonly labId: string;
  readonly people: ApiClient;
}

async function lab(name: string): Promise<Lab> {
  const { labId, person } = await at.transactor.do(async (tx) => {
    const made = await seedLab(tx, `${name}-${randomUUID().slice(0, 8)}`);
    const roles = (['operator', 'researcher'] as const).map((role) => ({ labId: made, role }));
    return { labId: made, person: await seedPerson(tx, `${made}@lab.example`, roles) };
  });
  return { labId, people: createApiClient(at.service.url).as(person.token) };
}

const gpuType = `of-${randomUUID().slice(0, 8)}`;

/** A real agent, with two GPUs and the local executor, that is up. */
async function cluster({ labId, people }: Lab, name: string): Promise<AgentProcess> {
  const made = await people.call(registerCluster, {
    body: { labId, name: `${name}-${randomUUID().slice(0, 8)}` },
  });
  const { clusterId } = made.cluster;
  const one = new AgentProcess(clusterId, at.service.url, made.agentKey, gpuType).start();
  agents.push(one);
  const state = async () => (await people.call(showCluster, { params: { clusterId } })).state;
  await expect.poll(state, { timeout: 20_000 }).toBe('active');
  return one;
}

function train({ labId, people }: Lab, steps: number) {
  return people.call(submitJob, {
    body: {
      labId,
      runner: { ...trainTemplate, training: { ...trainTemplate.training, steps } },
      resources: { gpus: 2, gpuType, maxSeconds: 600 },
    },
  });
}

const show = ({ people }: Lab, jobId: string) => people.call(showJob, { params: { jobId } });
const eventsOf = async ({ people }: Lab, jobId: string) =>
  (await people.call(listJobEvents, { params: { jobId }, query: { limit: 200 } })).items;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
/** The weights that an undisturbed run of the stand-in gives. */
function undisturbedWeights(steps: number): string {
  let chain = sha256(JSON.stringify(trainTemplate.seeds));
  for (let step = 0; step < steps; step++) chain = sha256(chain);
  return sha256(chain);
}

describe('a lab that would be running at home by now', { timeout: 120_000 }, () => {
  it('has a borrower save its state and leave; that one goes on later, loses next to nothing, and it is told', async () => {
    const [lender, borrower] = [await lab('lender'), await lab('borrower')];
    const lent = await cluster(lender, 'lent');
    const guestSteps = 150;
    const guest = await train(borrower, guestSteps);
    await expect
      .poll(async () => (await show(borrower, guest.jobId)).progress?.step ?? 0, { timeout: 30_000 })
      .toBeGreaterThanOrEqual(4);
    expect(await show(borrower, guest.jobId)).toMatchObject({ clusterId: lent.clusterId, attempts: 1 });

    const own = await train(lender, 20);
    await expect
      .poll(async () => (await show(borrower, guest.jobId)).history[0]?.state, { timeout: 30_000 })
      .toBe('preempted');
    const asked = (await eventsOf(borrower, guest.jobId)).find((event) => event.to === 'asked-to-leave');
    expect(asked?.reason).toContain(`the lab of ${own.jobId}, which would be running there by now`);
    // Nobody was asked before it had run for as long as it may.
    const startedAt = (await show(borrower, guest.jobId)).history[0]?.runningAt ?? '';
    expect(Date.parse(asked?.at ?? '') - Date.parse(startedAt)).toBeGreaterThanOrEqual(minRunMs);

    const state = (of: Lab, jobId: string) => async () => (await show(of, jobId)).state;
    await expect.poll(state(lender, own.jobId), { timeout: 30_000 }).toBe('succeeded');
    expect(await show(lender, own.jobId)).toMatchObject({ clusterId: lent.clusterId, attempts: 1 });
    await expect.poll(state(borrower, guest.jobId), { timeout: 60_000 }).toBe('succeeded');

    const done = await show(borrower, guest.jobId);
    expect(done.history.map((attempt) => attempt.state)).toEqual(['preempted', 'succeeded']);
    const [left, ended] = done.history;
    // It left when it was asked, and the lender's job ran in between.
    expect(Date.parse(ended?.runningAt ?? '')).toBeGreaterThanOrEqual(Date.parse(left?.endedAt ?? ''));
    expect(ended?.resumedFromStep).toBeGreaterThanOrEqual(4);
    // Both attempts are charged, once each.
    expect(left?.gpuSeconds).toBeGreaterThan(0);
    expect(done.gpuSecondsUsed).toBe((left?.gpuSeconds ?? 0) + (ended?.gpuSeconds ?? 0));
    const events = await eventsOf(borrower, guest.jobId);
    const cost = events.filter((event) => event.to === 'cost-of-leaving');
    expect(cost.map((event) => event.attempt)).toEqual([1]);
    expect(cost[0]?.reason).toBe(
      `its state is saved at step ${ended?.resumedFromStep}: 0 steps and 0 of its ${left?.gpuSeconds} GPU-seconds are lost`,
    );
    const resumed = events.filter((event) => event.to === 'resumed');
    expect(resumed).toHaveLength(1);
    expect(resumed[0]?.reason).toMatch(
      new RegExp(`^from step ${ended?.resumedFromStep}; the restart took [0-9.]+ s of 2 GPUs$`),
    );

    // The weights are those of an undisturbed run, and every checkpoint and step is there once.
    const checkpoints = await at.transactor.read.rows<{ step: string; weights_sha256: string }>(
      'SELECT step, weights_sha256 FROM scheduling.checkpoint WHERE job_id = $1 ORDER BY step DESC',
      [guest.jobId],
    );
    expect(checkpoints[0]).toEqual({
      step: String(guestSteps),
      weights_sha256: undisturbedWeights(guestSteps),
    });
    const twice = await at.transactor.read.rows(
      `SELECT to_state, count(*) FROM scheduling.job_event
       WHERE job_id = $1 AND subject = 'attempt' GROUP BY attempt, to_state HAVING count(*) > 1
       UNION ALL
       SELECT 'fact', count(*) FROM platform.outbox WHERE type = 'job.ended' AND payload->>'jobId' = $1
       HAVING count(*) <> 1`,
      [guest.jobId],
    );
    expect(twice).toEqual([]);
  });
});
