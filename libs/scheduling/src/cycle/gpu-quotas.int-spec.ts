import { type Leadership, newId, type Tx } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decide } from '../domain/decide.js';
import { headsLeast, markedShape, markOf, shapeOf } from '../domain/shape.js';
import { schedulingSchema } from '../postgres/scheduling-schema.js';
import { keepShadows } from '../shadows/keep-shadows.js';
import { loadSnapshot } from './load-snapshot.js';
import { QueueMemory } from './load-waiting.js';
import { offerPlacements } from './offer-placements.js';
import { regroupJobs } from './regroup-jobs.js';

const leadership: Leadership = { name: 'scheduler', epoch: 1n, signal: new AbortController().signal };
const [me, lab, cluster] = ['per_me', 'lab_a', 'clu_a'];

let platform: TestPlatform;
let read: Tx;
beforeAll(async () => {
  platform = await platformForTest([schedulingSchema]);
  read = platform.transactor.read;
  await read.rows(`INSERT INTO platform.leader (name, epoch, holder) VALUES ('scheduler', 1, 'test')`);
  const policy = {
    kinds: ['train'],
    labIds: null,
    consortium: true,
    gpusPerJobMax: null,
    secondsPerJobMax: null,
    hoursUtc: null,
  };
  await read.rows(
    `INSERT INTO scheduling.cluster (id, lab_id, name, state, inventory, policy) VALUES ($1, $2, 'a', 'active', $3, $4)`,
    [cluster, lab, JSON.stringify({ gpus: 64, gpuType: 'h100', gpuMemoryMiB: null }), JSON.stringify(policy)],
  );
});
afterAll(() => platform.close());
beforeEach(async () => {
  for (const table of ['attempt', 'shadow', 'quota', 'job'])
    await read.rows(`DELETE FROM scheduling.${table}`);
});

const bare = shapeOf({ kind: 'train', gpus: 1, gpuType: null, gpuMemoryMiB: null, maxSeconds: 60 });
const mine = markedShape(bare, [`person/${me}`]);

/** Puts jobs of one GPU into the queue, each a millisecond younger than the one before. */
async function queue(jobs: {
  by?: string;
  owner?: string;
  shape?: string;
  count?: number;
  priority?: number;
  shadowed?: boolean;
}): Promise<string[]> {
  const { by = me, owner = lab, shape = bare, count = 1, priority = 0, shadowed = false } = jobs;
  const rows = await read.rows<{ id: string }>(
    `INSERT INTO scheduling.job (id, kind, name, owner, lab_id, runner, inputs, gpus, max_seconds, checkpointable,
       priority, attempt_limit, submitted_by, shape, submitted_at)
     SELECT $1 || lpad(n::text, 6, '0'), 'train', 'test', $2, $2, '{}', '[]', 1, 60, true, $3, 3, $4, $5,
       clock_timestamp() + n * interval '1 millisecond'
     FROM generate_series(1, $6::int) n RETURNING id`,
    [newId('Job'), owner, priority, by, shape, count],
  );
  const ids = rows.map(({ id }) => id);
  if (shadowed) {
    await read.rows(
      `INSERT INTO scheduling.shadow (job_id, owner, gpus, submitted_at)
       SELECT id, owner, gpus, submitted_at FROM scheduling.job WHERE id = ANY ($1)`,
      [ids],
    );
  }
  return ids;
}

async function limit(key: string, gpus: number | null): Promise<void> {
  const [scope, subject] = key.split('/');
  await read.rows('DELETE FROM scheduling.quota WHERE scope = $1 AND subject = $2', [scope, subject]);
  if (gpus === null) return;
  await read.rows(
    `INSERT INTO scheduling.quota (scope, subject, max_gpus_at_once, set_by) VALUES ($1, $2, $3, 'per_s')`,
    [scope, subject, gpus],
  );
}

const offer = (jobIds: readonly string[], quotas: readonly string[]) =>
  platform.transactor.do((tx) =>
    offerPlacements(
      tx,
      leadership,
      jobIds.map((jobId) => ({ jobId, clusterId: cluster, quotas })),
      { offerTtlMs: 60_000, cached: new Map() },
    ),
  );
const liveGpus = async (): Promise<number> => {
  const row = await read.row<{ gpus: number }>(
    `SELECT coalesce(sum(gpus), 0)::int AS gpus FROM scheduling.attempt WHERE state = 'offered'`,
  );
  return row?.gpus ?? -1;
};
const shapesOf = async (jobIds: readonly string[]): Promise<Set<string>> => {
  const rows = await read.rows<{ shape: string }>('SELECT shape FROM scheduling.job WHERE id = ANY ($1)', [
    jobIds,
  ]);
  return new Set(rows.map(({ shape }) => shape));
};
/** One turn of the leader without its agents; answers who was placed. */
async function turn(memory: QueueMemory): Promise<{ placed: string[]; regrouped: number }> {
  const { snapshot, nowMs } = await loadSnapshot(read, { memory });
  const { place, shadow } = decide(snapshot, nowMs, 1);
  memory.forget(place.map(({ jobId }) => jobId));
  const offered = await platform.transactor.do((tx) =>
    offerPlacements(tx, leadership, place, { offerTtlMs: 60_000, cached: new Map() }),
  );
  await platform.transactor.do((tx) => keepShadows(tx, leadership, shadow));
  const regrouped = await platform.transactor.do((tx) => regroupJobs(tx, leadership, memory.misplaced));
  return {
    placed: offered.map(({ job_id }) => job_id),
    regrouped,
  };
}

describe('offers under a quota of GPUs', () => {
  it('never pass it, however many decisions are written at the same time', async () => {
    await limit(`person/${me}`, 5);
    await limit(`lab/${lab}`, 7);
    const jobs = await queue({ count: 40 });
    const keys = [`person/${me}`, `lab/${lab}`];
    const batches = Array.from({ length: 8 }, (_, n) => jobs.filter((_id, at) => at % 8 === n));
    const answers = await Promise.all(batches.map((batch) => offer(batch, keys)));
    expect(answers.flat()).toHaveLength(5);
    expect(await liveGpus()).toBe(5);
    // Those of others under the lab's quota find what is left of that.
    const others = await queue({ by: 'per_other', count: 9 });
    await Promise.all(others.map((jobId) => offer([jobId], [`person/per_other`, `lab/${lab}`])));
    expect(await liveGpus()).toBe(7);
  });

  it('heed a quota that was lowered, and one that was lifted, since the decision', async () => {
    await limit(`person/${me}`, 10);
    const jobs = await queue({ count: 6 });
    await limit(`person/${me}`, 2);
    expect(await offer(jobs, [`person/${me}`])).toHaveLength(2);
    await limit(`person/${me}`, null);
    expect(await offer(jobs, [`person/${me}`])).toHaveLength(4);
  });

  it('leave the jobs of others as they are', async () => {
    await limit(`person/${me}`, 0);
    const [capped, theirs] = [await queue({}), await queue({ by: 'per_other' })] as [string[], string[]];
    const answers = await platform.transactor.do((tx) =>
      offerPlacements(
        tx,
        leadership,
        [
          { jobId: capped[0] as string, clusterId: cluster, quotas: [`person/${me}`] },
          { jobId: theirs[0] as string, clusterId: cluster },
        ],
        { offerTtlMs: 60_000, cached: new Map() },
      ),
    );
    expect(answers.map(({ job_id }) => job_id)).toEqual(theirs);
  });
});

describe('a deep queue of one person at the limit', () => {
  const deep = 20_000;

  /** Rows of the table of jobs that one load of the snapshot reads. */
  async function rowsRead(memory: QueueMemory): Promise<{ rows: number; waiting: string[] }> {
    return platform.transactor.do(async (tx) => {
      // Counts that the backend has not handed in yet, from what it did before, are in these too.
      const soFar = async (): Promise<number> => {
        const row = await tx.row<{ rows: string }>(
          `SELECT coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) AS rows FROM pg_stat_xact_user_tables
           WHERE schemaname = 'scheduling' AND relname = 'job'`,
        );
        return Number(row?.rows);
      };
      const before = await soFar();
      const { snapshot } = await loadSnapshot(tx, { memory });
      return { rows: (await soFar()) - before, waiting: snapshot.waiting.map(({ jobId }) => jobId) };
    });
  }

  it('is not gone through, and holds up nobody', async () => {
    await limit(`person/${me}`, 3);
    await queue({ count: deep, shape: mine, priority: 5 });
    const theirs = await queue({ by: 'per_other', count: 2 });
    const memory = new QueueMemory();
    const first = await turn(memory);
    expect(first.placed).toHaveLength(5);
    expect(first.placed).toEqual(expect.arrayContaining(theirs));
    const [late] = await queue({ by: 'per_other' });
    // As autovacuum does: small tables are known to be small.
    await read.rows('ANALYZE scheduling.job, scheduling.attempt, scheduling.shadow, scheduling.quota');
    const { rows, waiting } = await rowsRead(memory);
    expect(waiting).toHaveLength(headsLeast + 1);
    expect(rows).toBeLessThan(100);
    expect((await turn(memory)).placed).toEqual([late]);
  }, 60_000);

  it('that was there before the quota is marked bit by bit, from its head on, until others are in view', async () => {
    const before = await queue({ count: deep, shadowed: true });
    const theirs = await queue({ by: 'per_other', count: 2, shadowed: true });
    await limit(`person/${me}`, 2);
    const memory = new QueueMemory();
    const placed: string[] = [];
    const marked: number[] = [];
    for (let turns = 0; turns < 40; turns++) {
      const one = await turn(memory);
      placed.push(...one.placed);
      marked.push(one.regrouped);
      if (one.placed.length === 0 && one.regrouped === 0) break;
    }
    // The quota holds from the first decision on; behind it the others come into view.
    expect(placed.filter((jobId) => before.includes(jobId))).toHaveLength(2);
    expect(placed).toEqual(expect.arrayContaining(theirs));
    expect(Math.max(...marked)).toBe(1_000);
    expect(await shapesOf(before.slice(2))).toEqual(new Set([mine]));
    // At home they would not stand before others either.
    const shadows = await read.rows<{ job_id: string }>('SELECT job_id FROM scheduling.shadow');
    expect(shadows.map(({ job_id }) => job_id).sort()).toEqual([...placed].sort());
    // Lifted, all may start at once, and get their places back as they come up.
    await limit(`person/${me}`, null);
    const after = await turn(memory);
    expect(after.placed).toHaveLength(60);
    expect(after.regrouped).toBe(1_000);
    const isBack = await read.rows<{ id: string }>(
      `SELECT id FROM scheduling.job WHERE state = 'queued' AND shape = $1`,
      [bare],
    );
    expect(isBack).toHaveLength(1_000);
    const back = await read.rows('SELECT 1 FROM scheduling.shadow WHERE job_id = ANY ($1)', [
      isBack.map(({ id }) => id),
    ]);
    expect(back).toHaveLength(1_000);
  }, 120_000);
});

describe('jobs of the waiting list', () => {
  it('are told by what they are bound by, also where they are not marked with it yet', async () => {
    await limit(`person/${me}`, 4);
    await limit(`lab/${lab}`, 4);
    const [one] = await queue({});
    const [theirs] = await queue({ by: 'per_other', owner: 'lab_b' });
    const memory = new QueueMemory();
    const { snapshot } = await loadSnapshot(read, { memory });
    const quotas = Object.fromEntries(snapshot.waiting.map((job) => [job.jobId, job.quotas]));
    expect(quotas).toEqual({
      [one as string]: [`lab/${lab}`, `person/${me}`],
      [theirs as string]: undefined,
    });
    expect(memory.misplaced).toMatchObject([{ owner: lab, shape: bare }]);
    await platform.transactor.do((tx) => regroupJobs(tx, leadership, memory.misplaced));
    const [shape] = await shapesOf([one as string]);
    expect(markOf(shape as string)).toEqual({ bare, quotaKeys: [`lab/${lab}`, `person/${me}`] });
  });

  it('count what runs under a quota on whatever share and cluster', async () => {
    await limit(`person/${me}`, 4);
    const [ours, suites] = [await queue({}), await queue({ owner: 'consortium' })] as [string[], string[]];
    await offer([...ours, ...suites], [`person/${me}`]);
    const { snapshot } = await loadSnapshot(read);
    expect(snapshot.quotas).toEqual([{ key: `person/${me}`, gpus: 4, usedGpus: 2 }]);
    await read.rows(`UPDATE scheduling.attempt SET state = 'lost' WHERE job_id = $1`, [ours[0]]);
    expect((await loadSnapshot(read)).snapshot.quotas).toMatchObject([{ usedGpus: 1 }]);
  });
});
