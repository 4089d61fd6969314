import { randomUUID } from 'node:crypto';
import { explainJob, listJobEvents } from '@beamtime/contracts';
import { SubmitJob } from '@beamtime/scheduling';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  refusal,
  type SchedulingForTest,
  type SimulatedAgent,
  schedulingForTest,
  sha256Of,
  trainTemplate,
} from './testing.js';

let at: SchedulingForTest;
beforeAll(async () => {
  at = await schedulingForTest({ BEAMTIME_LEASE_TTL_MS: '10000' });
});
afterAll(() => at.close());

const digits = (...names: string[]): string[] => names.map((name) => sha256Of(name).slice(0, 16));

/** Two clusters of one lab that are alike, and the type of GPU that only they have. */
async function twoClusters(): Promise<{ first: SimulatedAgent; second: SimulatedAgent; gpuType: string }> {
  const gpuType = `of-${randomUUID().slice(0, 8)}`;
  const first = await (await at.cluster('first', { gpuType })).register();
  const second = await (await at.cluster('second', { gpuType })).register();
  return { first, second, gpuType };
}

/** A job that needs these files. */
async function submit(gpuType: string, files: Readonly<Record<string, number>>): Promise<string> {
  const submitted = await at.service.app.get(SubmitJob).execute({
    kind: 'train',
    name: 'reads much',
    runner: trainTemplate as never,
    inputs: Object.entries(files).map(([name, sizeBytes]) => ({
      path: `corpora/${name}`,
      sizeBytes,
      sha256: sha256Of(name),
      objectKey: `corpora/${name}`,
    })),
    resources: { gpus: 1, gpuType, maxSeconds: 600, checkpoint: true },
    labId: at.labId,
    suiteId: null,
    modelId: null,
    studyId: null,
    priority: 0,
    attemptLimit: 3,
    requestKey: null,
    account: null,
    submittedBy: at.principal.personId,
  });
  if (!submitted.ok) throw new Error(submitted.error.detail);
  return submitted.value.jobId;
}

async function offered(jobId: string): Promise<string | null> {
  const to = async (): Promise<string | null | undefined> => {
    const { items } = await at.researcher.call(listJobEvents, { params: { jobId }, query: { limit: 50 } });
    return items.find((event) => event.to === 'offered')?.reason;
  };
  await expect.poll(to, { timeout: 20_000 }).toBeDefined();
  return (await to()) ?? null;
}

describe('a job whose inputs lie at one of several clusters', { timeout: 60_000 }, () => {
  it('starts there, and its history and `why` say so', async () => {
    const { first, second, gpuType } = await twoClusters();
    for (const [round, holder, other] of [
      [1, second, first],
      [2, first, second],
    ] as const) {
      await holder.sync(false, { version: round, inputs: digits('much', 'little', 'else') });
      await other.sync(false, { version: round, inputs: digits('little') });
      const jobId = await submit(gpuType, { much: 1_234_000_000, little: 1_000, absent: 5_000_000_000 });
      expect(await offered(jobId)).toBe(`to ${holder.clusterId}, which holds 1.2 GB of its inputs`);
      const why = await at.researcher.call(explainJob, { params: { jobId } });
      expect(why.detail).toMatch(/^Attempt 1 is offered on .*, which holds 1\.2 GB of its inputs$/);
    }
  });
});

describe('what an agent says of its inputs', { timeout: 60_000 }, () => {
  const kept = async ({ clusterId }: SimulatedAgent): Promise<string[]> => {
    const rows = await at.transactor.read.rows<{ digits: string }>(
      'SELECT digits FROM scheduling.cached_input WHERE cluster_id = $1 ORDER BY digits',
      [clusterId],
    );
    return rows.map((row) => row.digits);
  };

  it('replaces what it said before, and never what it said later', async () => {
    const { first } = await twoClusters();
    await first.sync(false, { version: 3, inputs: digits('a', 'b', 'a') });
    expect(await kept(first)).toEqual(digits('a', 'b').sort());
    await first.sync(false, { version: 2, inputs: digits('c') });
    await first.sync(false);
    expect(await kept(first)).toEqual(digits('a', 'b').sort());
    await first.sync(false, { version: 4, inputs: digits('b', 'c') });
    expect(await kept(first)).toEqual(digits('b', 'c').sort());
  });

  it('counts no more once another process has taken over', async () => {
    const { first, second, gpuType } = await twoClusters();
    await second.sync(false, { version: 9, inputs: digits('d') });
    const next = await second.restart();
    const jobId = await submit(gpuType, { d: 1_000_000 });
    expect(await offered(jobId)).not.toContain('which holds');
    expect(await refusal(second.sync(false, { version: 10, inputs: digits('d') }))).toBe(
      'scheduling.agent-superseded',
    );
    await next.sync(false, { version: 1, inputs: digits('d') });
    await first.sync(false);
    expect(await offered(await submit(gpuType, { d: 1_000_000 }))).toBe(
      `to ${second.clusterId}, which holds 1.0 MB of its inputs`,
    );
  });

  it('is refused where it is too much, or no digest', async () => {
    const { first } = await twoClusters();
    const many = Array.from({ length: 1_001 }, (_, n) => digits(String(n))[0] as string);
    expect(await refusal(first.sync(false, { version: 1, inputs: many }))).toBe('request.invalid');
    expect(await refusal(first.sync(false, { version: 1, inputs: ['../etc'] }))).toBe('request.invalid');
    await first.sync(false, { version: 1, inputs: many.slice(0, 1_000) });
    expect(await kept(first)).toHaveLength(1_000);
  });
});
