import { registerCluster, setServing, showServing } from '@beamtime/contracts';
import {
  ModelLoads,
  ModelServing,
  reportEveryMs,
  ServedModels,
  TUNNEL_AUTHORITY,
  TunnelGate,
  TunnelHub,
} from '@beamtime/inference';
import type { ModelId } from '@beamtime/kernel';
import { AdmitTunnel } from '@beamtime/scheduling';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentProcess } from '../agent-process.js';
import { schedulerServiceModule } from '../index.js';
import { type SchedulingForTest, schedulingForTest } from '../testing.js';
import { fundOperations, seedModel } from './testing.js';

let at: SchedulingForTest;
let modelId: ModelId;
let hub: TunnelHub;
let serving: ModelServing;
let telling: NodeJS.Timeout;
const agents: AgentProcess[] = [];

beforeAll(async () => {
  at = await schedulingForTest(
    { BEAMTIME_LEASE_TTL_MS: '6000' },
    {
      module: class WithTunnels {},
      imports: [schedulerServiceModule],
      providers: [TunnelHub, TunnelGate, { provide: TUNNEL_AUTHORITY, useClass: AdmitTunnel }],
    },
  );
  await fundOperations(at);
  modelId = await seedModel(at);
  hub = at.service.app.get(TunnelHub);
  serving = new ModelServing(hub, new ServedModels(at.transactor), hub.meter);
  const loads = new ModelLoads(at.transactor, 'this gateway');
  telling = setInterval(() => void loads.report(hub.loads()), reportEveryMs);
});
afterAll(async () => {
  clearInterval(telling);
  for (const agent of agents) await agent.remove();
  await at.close();
});

async function agent(name: string): Promise<AgentProcess> {
  const { cluster, agentKey } = await at.operator.call(registerCluster, { body: { labId: at.labId, name } });
  const one = new AgentProcess(
    cluster.clusterId,
    at.service.url,
    agentKey,
    'cpu',
    undefined,
    {},
    {
      // Room for both: they keep apart by themselves.
      gpus: { count: 2, type: 'cpu' },
    },
  );
  agents.push(one);
  return one.start();
}

const show = () => at.researcher.call(showServing, { params: { modelId } });
const set = (body: object) => at.secretariat.call(setServing, { params: { modelId }, body });
const ask = (forMs = 0) =>
  serving.callJson<{ path: string }>(modelId, { method: 'POST', path: '/completions', body: { forMs } });
const connected = () =>
  hub
    .list()
    .map((one) => one.clusterId as string)
    .sort();

it('replicas on two clusters share the requests, a lost one is replaced, and one that leaves ends what it began', async () => {
  const [one, two] = [await agent('one'), await agent('two')];
  await set({ floor: 2, ceiling: 2 });
  await expect.poll(connected, { timeout: 40_000 }).toEqual([one.clusterId, two.clusterId].sort());
  await expect.poll(show, { timeout: 10_000 }).toMatchObject({ wanted: 2, live: 2, starting: 0 });

  const slow = [ask(2_000), ask(2_000)];
  await expect.poll(() => hub.list().map((live) => live.inFlight)).toEqual([1, 1]);
  await expect.poll(async () => (await show()).inFlight, { timeout: 10_000 }).toBe(2);
  expect(await Promise.all(slow)).toMatchObject([{ ok: true }, { ok: true }]);

  // A whole lab is gone from one moment to the next: the other replica answers, and a third cluster takes its place.
  const three = await agent('three');
  await one.stop('SIGKILL');
  await expect.poll(connected, { timeout: 20_000 }).toEqual([two.clusterId]);
  for (let asked = 0; asked < 4; asked++) expect(await ask()).toMatchObject({ ok: true });
  await expect.poll(connected, { timeout: 40_000 }).toEqual([two.clusterId, three.clusterId].sort());
  await expect.poll(show, { timeout: 10_000 }).toMatchObject({ wanted: 2, live: 2, leaving: 0 });

  // One is enough from now on; both are in the middle of an answer.
  const answers = [ask(15_000), ask(15_000)];
  await expect.poll(() => hub.list().map((live) => live.inFlight)).toEqual([1, 1]);
  expect(await set({ floor: 1, ceiling: 1 })).toMatchObject({ wanted: 1, leaving: 1 });
  const leaving = (await show()).replicas.find((replica) => replica.state === 'leaving');
  // Once the gateway has heard of it, nothing new goes there.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  const more = [ask(500), ask(500), ask(500)];
  expect(hub.list().find((live) => live.jobId === leaving?.jobId)?.inFlight).toBe(1);
  expect(await Promise.all([...answers, ...more])).toMatchObject(Array(5).fill({ ok: true }));
  await expect
    .poll(async () => (await at.job(leaving?.jobId ?? '')).state, { timeout: 30_000 })
    .toBe('cancelled');
  expect((await at.job(leaving?.jobId ?? '')).reason).toBe('it is not needed any more');
  expect(await show()).toMatchObject({ wanted: 1, live: 1, leaving: 0 });
  expect(await ask()).toMatchObject({ ok: true });
}, 180_000);
