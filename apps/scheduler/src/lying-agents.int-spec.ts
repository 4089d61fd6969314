import { randomUUID } from 'node:crypto';
import {
  acceptAttempt,
  declineAttempt,
  listShares,
  registerAgent,
  reportAttempt,
  showCluster,
  submitJob,
  syncAgent,
} from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  jobBody,
  refusal,
  type SchedulingForTest,
  type SimulatedAgent,
  schedulingForTest,
  trainTemplate,
} from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '10000' });
});
afterAll(async () => {
  await at.close();
});

const shown = (agent: SimulatedAgent) =>
  at.operator.call(showCluster, { params: { clusterId: agent.clusterId } });
const decline = (agent: SimulatedAgent, ref: { jobId: string; attempt: number }) =>
  agent.client.call(declineAttempt, {
    params: ref,
    body: { incarnation: agent.incarnation, reason: 'this cluster has only 2 GPUs', code: 'capacity' },
  });

describe('an agent that claims more GPUs than it can run', { timeout: 90_000 }, () => {
  it('is soon counted on for what it did not refuse, and does not hold up the queue', async () => {
    const gpuType = `of-${randomUUID().slice(0, 8)}`;
    const liar = await (await at.cluster('liar', { gpus: 1_000_000, gpuType })).register();
    const refused: string[] = [];
    for (let n = 0; n < 3; n++) {
      const { jobId } = await at.submit({ gpus: 8, gpuType });
      const ref = await liar.offer(jobId, 20_000);
      await decline(liar, ref);
      refused.push(jobId);
    }
    const cluster = await shown(liar);
    expect(cluster.gpusTrusted).toBe(7);
    expect(Date.parse(cluster.gpusTrustedUntil ?? '')).toBeGreaterThan(Date.now() + 60_000);
    // What it can still be believed to have is offered at once, and what it refused to nobody.
    const { jobId } = await at.submit({ gpus: 2, gpuType });
    const { ref } = await liar.begin(jobId);
    await liar.report(ref, 'succeeded');
    expect(await refusal(at.submit({ gpus: 8, gpuType }))).toBe('scheduling.unschedulable');
    // An honest cluster takes what waited for the liar.
    const honest = await (await at.cluster('honest', { gpus: 8, gpuType })).register();
    for (const waiting of refused) {
      const begun = await honest.begin(waiting);
      await honest.report(begun.ref, 'succeeded');
    }
  });

  it('gains no trust by claiming something else with every message', async () => {
    const gpuType = `of-${randomUUID().slice(0, 8)}`;
    const liar = await (await at.cluster('fickle', { gpus: 64, gpuType })).register();
    for (let n = 0; n < 3; n++) {
      const { jobId } = await at.submit({ gpus: 4, gpuType });
      await decline(liar, await liar.offer(jobId, 20_000));
    }
    for (const gpus of [1, 1_000_000, 2, 500_000]) {
      (liar.inventory as { gpus: number }).gpus = gpus;
      await liar.sync(false);
      const { gpusTrusted, inventory } = await shown(liar);
      expect(inventory?.gpus).toBe(gpus);
      expect(gpusTrusted ?? gpus).toBeLessThanOrEqual(3);
    }
    const shares = await at.operator.call(listShares, {});
    const own = shares.items.find((share) => share.owner === at.labId);
    // Nor does its lab gain a share by it.
    expect(own?.entitledGpus ?? 0).toBeLessThan(1_000);
  });

  it('is refused where the claim is none', async () => {
    const agent = await (await at.cluster('odd')).register();
    for (const gpus of [-1, 1.5, 1_000_001, Number.NaN]) {
      const call = agent.client.call(syncAgent, {
        body: {
          incarnation: agent.incarnation,
          inventory: { ...agent.inventory, gpus },
          policy: (await shown(agent)).policy as never,
          draining: false,
          attempts: [],
          wait: false,
        },
      });
      expect(await refusal(call)).toBe('request.invalid');
    }
    const twice = agent.client.call(registerAgent, { body: { instanceId: 'x' } as never });
    expect(await refusal(twice)).toBe('request.invalid');
  });
});

describe('an agent that speaks of attempts which it never had', { timeout: 60_000 }, () => {
  it('changes nothing, and is told to stop them', async () => {
    const gpuType = `of-${randomUUID().slice(0, 8)}`;
    const owner = await (await at.cluster('owner', { gpuType })).register();
    const thief = await (await at.cluster('thief', { gpuType: 'other' })).register();
    const { jobId } = await at.submit({ gpuType });
    const { ref } = await owner.begin(jobId);
    const body = { incarnation: thief.incarnation };
    for (const foreign of [ref, { jobId, attempt: 7 }, { jobId: `job_${'0'.repeat(26)}`, attempt: 1 }]) {
      thief.held.set(JSON.stringify(foreign), foreign);
      expect(await refusal(thief.client.call(acceptAttempt, { params: foreign, body }))).toBe(
        'scheduling.attempt-fenced',
      );
      const done = thief.client.call(reportAttempt, {
        params: foreign,
        body: { ...body, state: 'succeeded' },
      });
      expect(await refusal(done)).toBe('scheduling.attempt-fenced');
    }
    const answer = await thief.sync(false);
    expect(answer.renewed).toEqual([]);
    expect(answer.stop).toHaveLength(3);
    expect(await at.job(jobId)).toMatchObject({ state: 'running', attempts: 1 });
    await owner.report(ref, 'succeeded');
  });
});

describe('a job that cannot be', { timeout: 60_000 }, () => {
  it('is refused at once with the reason of every cluster', async () => {
    const gpuType = `of-${randomUUID().slice(0, 8)}`;
    await (await at.cluster('small', { gpuType })).register();
    const call = at.submit({ gpuType, gpus: 3 });
    await expect(call).rejects.toThrow(
      /No cluster could ever run this job:.*small-.*2 GPUs, the job needs 3/,
    );
  });

  it('is told from one that is only too large to read', async () => {
    const body = jobBody(at.labId);
    const huge = { ...trainTemplate, filler: 'x'.repeat(4_200_000) };
    const call = at.researcher.call(submitJob, { body: { ...body, runner: huge } });
    await expect(call).rejects.toMatchObject({
      problem: { code: 'request.too-large', status: 413, detail: expect.stringContaining('4194304 bytes') },
    });
    const wrong = at.researcher.call(submitJob, {
      body: { ...body, resources: { gpus: 5_000, maxSeconds: 1e9 } },
    });
    await expect(wrong).rejects.toMatchObject({
      problem: {
        code: 'request.invalid',
        issues: [{ path: 'body.resources.gpus' }, { path: 'body.resources.maxSeconds' }],
      },
    });
  });
});
