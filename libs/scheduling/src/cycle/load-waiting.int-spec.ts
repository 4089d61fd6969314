import { newId } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { headsLeast, shapeOf } from '../domain/shape.js';
import { compactQueueDepth, queueDepth, queueDepths } from '../jobs/queue-depth.js';
import { schedulingSchema } from '../postgres/scheduling-schema.js';
import { loadWaiting, positionMost, positionOf, QueueMemory } from './load-waiting.js';

let platform: TestPlatform;
beforeAll(async () => {
  platform = await platformForTest([schedulingSchema]);
});
afterAll(() => platform.close());
beforeEach(async () => {
  await platform.transactor.read.rows('DELETE FROM scheduling.job');
});

interface Jobs {
  readonly owner?: string;
  readonly gpus?: number;
  readonly maxSeconds?: number;
  readonly priority?: number;
  readonly count?: number;
}

/** Puts jobs into the queue as a submission does, each a millisecond younger than the one before. */
async function queue(jobs: Jobs): Promise<string[]> {
  const { owner = 'lab_a', gpus = 1, maxSeconds = 60, priority = 0, count = 1 } = jobs;
  const ids = Array.from({ length: count }, () => newId('Job'));
  const shape = shapeOf({ kind: 'train', gpus, gpuType: null, gpuMemoryMiB: null, maxSeconds });
  await platform.transactor.read.rows(
    `INSERT INTO scheduling.job (id, kind, name, owner, runner, inputs, gpus, max_seconds, checkpointable, priority,
       attempt_limit, submitted_by, shape, submitted_at)
     SELECT id, 'train', 'test', $2, '{}', '[]', $3, $4, true, $5, 3, 'test', $6,
       clock_timestamp() + n * interval '1 millisecond'
     FROM unnest($1::text[]) WITH ORDINALITY AS e (id, n)`,
    [ids, owner, gpus, maxSeconds, priority, shape],
  );
  return ids;
}
const load = (options: Parameters<typeof loadWaiting>[2] = {}) =>
  platform.transactor.do((tx) => loadWaiting(tx, [], options));
const seen = async (options: Parameters<typeof loadWaiting>[2] = {}) =>
  new Set((await load(options)).map((job) => job.jobId));

describe('the waiting jobs of a decision', () => {
  it('are the first few of each shape, so that gangs at the head hide no small job', async () => {
    const gangs = await queue({ gpus: 64, priority: 9, count: 500 });
    const [small] = await queue({ gpus: 1 });
    const heads = await seen();
    expect(heads.size).toBe(headsLeast + 1);
    expect(heads.has(small as string)).toBe(true);
    expect(new Set([...heads].filter((id) => gangs.includes(id)))).toEqual(
      new Set(gangs.slice(0, headsLeast)),
    );
  });

  it('begin with the highest priority of a shape, then with the oldest', async () => {
    const old = await queue({ count: 10 });
    const urgent = await queue({ priority: 5, count: 2 });
    expect((await load()).map((job) => job.jobId)).toEqual([...urgent, ...old.slice(0, headsLeast - 2)]);
  });

  it('are of every owner, however many another one has', async () => {
    await queue({ owner: 'lab_a', count: 300 });
    const [other] = await queue({ owner: 'lab_b' });
    expect((await seen()).has(other as string)).toBe(true);
  });

  it('leave out those that back off, which hide nothing', async () => {
    const waiting = await queue({ count: 40 });
    await platform.transactor.read.rows(
      `UPDATE scheduling.job SET retry_at = now() + interval '1 minute' WHERE id = ANY ($1)`,
      [waiting.slice(0, 39)],
    );
    expect(await seen()).toEqual(new Set(waiting.slice(39)));
  });

  it('have the one that is asked for among them, wherever it stands, also if it backs off', async () => {
    const waiting = await queue({ count: 40 });
    const last = waiting.at(-1) as string;
    expect((await seen()).has(last)).toBe(false);
    await platform.transactor.read.rows(
      `UPDATE scheduling.job SET retry_at = now() + interval '1 minute' WHERE id = $1`,
      [last],
    );
    expect((await seen({ also: [last] })).has(last)).toBe(true);
  });

  it('come from every shape in turn when an owner has more than one decision looks at', async () => {
    for (let gpus = 1; gpus <= 2_100; gpus += 300) {
      await platform.transactor.read.rows(
        `INSERT INTO scheduling.job (id, kind, name, owner, runner, inputs, gpus, max_seconds, checkpointable, priority,
           attempt_limit, submitted_by, shape)
         SELECT 'job_' || g, 'train', 'test', 'lab_a', '{}', '[]', g, 60, true, 0, 3, 'test', 'train/' || g
         FROM generate_series($1::int, $1::int + 299) g`,
        [gpus],
      );
    }
    const memory = new QueueMemory();
    const first = await seen({ memory });
    const second = await seen({ memory });
    expect(first.size).toBe(2_000);
    expect(new Set([...first, ...second]).size).toBe(2_100);
  });
});

describe('what the leader remembers of the queue', () => {
  const servedMs = async (jobId: string | undefined, memory: QueueMemory) =>
    (await load({ memory })).find((job) => job.jobId === jobId)?.servedMs;

  it('spares the table the jobs that the last decision read, until an offer was written for them', async () => {
    const memory = new QueueMemory();
    const [job] = await queue({});
    expect(await servedMs(job, memory)).toBe(0);
    await platform.transactor.read.rows('UPDATE scheduling.job SET seconds_used = 7');
    expect(await servedMs(job, memory)).toBe(0);
    memory.forget([job as string]);
    expect(await servedMs(job, memory)).toBe(7_000);
  });

  it('keeps no job in view that does not wait any more, or stands further behind by now', async () => {
    const memory = new QueueMemory();
    const [older] = await queue({});
    await load({ memory });
    await queue({ priority: 1, count: headsLeast });
    expect((await seen({ memory })).has(older as string)).toBe(false);
    await platform.transactor.read.rows(`UPDATE scheduling.job SET state = 'cancelled' WHERE priority = 1`);
    expect(await seen({ memory })).toEqual(new Set([older]));
  });
});

describe("a job's position", () => {
  it('counts what comes before it among the jobs of its owner, of every shape', async () => {
    const old = await queue({ count: 30 });
    await queue({ owner: 'lab_b', priority: 9, count: 7 });
    await queue({ gpus: 8, priority: 5, count: 3 });
    const position = (jobId: string | undefined) =>
      platform.transactor.do((tx) => positionOf(tx, jobId as string));
    expect(await position(old[0])).toBe(4);
    expect(await position(old[29])).toBe(33);
    expect(await position('job_none')).toBeNull();
  });

  it('is not counted beyond a bound', async () => {
    await queue({ priority: 1, count: positionMost + 5 });
    const [last] = await queue({});
    expect(await platform.transactor.do((tx) => positionOf(tx, last as string))).toBe(positionMost);
  });
});

describe('the depth of the queue', () => {
  const read = () => platform.transactor.read;

  it('follows every change of a job, whoever makes it, and survives compaction', async () => {
    const jobs = await queue({ owner: 'lab_a', gpus: 2, count: 10 });
    await queue({ owner: 'lab_b', count: 3 });
    await read().rows(`UPDATE scheduling.job SET state = 'running' WHERE id = ANY ($1)`, [jobs.slice(0, 4)]);
    await read().rows(`UPDATE scheduling.job SET priority = 3 WHERE id = ANY ($1)`, [jobs]);
    await read().rows(`UPDATE scheduling.job SET state = 'queued' WHERE id = $1`, [jobs[0]]);
    const depths = async () => Object.fromEntries(await queueDepths(read()));
    const wanted = { lab_a: { jobs: 7, gpus: 14 }, lab_b: { jobs: 3, gpus: 3 } };
    expect(await depths()).toEqual(wanted);
    await platform.transactor.do((tx) => compactQueueDepth(tx));
    expect(await depths()).toEqual(wanted);
    expect(await read().rows('SELECT 1 FROM scheduling.queue_depth')).toHaveLength(2);
    await read().rows('DELETE FROM scheduling.job');
    expect(await queueDepth(read())).toBe(0);
  });
});
