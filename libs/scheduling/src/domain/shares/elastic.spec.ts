import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../decide.js';
import { sizesOf, timeWithAll, timeWithSome } from '../elastic.js';
import { entitlements } from '../entitlements.js';
import { explainWaiting } from '../explain-waiting.js';
import { whyNever } from '../judge-cluster.js';
import type {
  ClusterPolicy,
  GpuQuota,
  RunningJob,
  Snapshot,
  SnapshotCluster,
  WaitingJob,
} from '../snapshot.js';

const hourMs = 3_600_000;
const nowMs = 1_800_000_000_000;

interface Asked {
  readonly least: number;
  readonly most?: number;
  readonly owner?: string;
  readonly maxSeconds?: number;
}

function request({ least, most = least, owner = 'lab-b', maxSeconds = 360_000 }: Asked) {
  return {
    ...{ kind: 'train' as const, owner, gpus: least, gpuType: null, gpuMemoryMiB: null, maxSeconds },
    ...(most > least && { gpusMost: most }),
  };
}

function waiting(jobId: string, asked: Asked, more: Partial<WaitingJob> = {}): WaitingJob {
  const state = { priority: 0, submittedMs: nowMs, retryAtMs: null, avoid: [], preemptible: true };
  return { jobId, ...request(asked), ...state, ...more };
}

/** One that has `held` GPUs, for two hours so far. */
function running(jobId: string, held: number, asked: Asked, more: Partial<RunningJob> = {}): RunningJob {
  const startedMs = nowMs - 2 * hourMs;
  return {
    ...{ jobId, attempt: 1, submittedMs: startedMs, startedMs, savedMs: nowMs, preemptible: true },
    ...request(asked),
    ...(asked.most !== undefined && { gpusLeast: asked.least }),
    gpus: held,
    ...more,
  };
}

interface Place {
  readonly gpus: number;
  readonly labId?: string;
  readonly on?: readonly RunningJob[];
  readonly policy?: Partial<ClusterPolicy>;
  readonly state?: SnapshotCluster['state'];
}

function clusterOf(name: string, place: Place): SnapshotCluster {
  const { gpus, labId = `of-${name}`, on = [], policy, state = 'active' } = place;
  const busyGpus: Record<string, number> = {};
  for (const job of on) busyGpus[job.owner] = (busyGpus[job.owner] ?? 0) + job.gpus;
  const open: ClusterPolicy = {
    ...{ kinds: ['train'], labIds: null, consortium: true },
    ...{ gpusPerJobMax: null, secondsPerJobMax: null, hoursUtc: null },
  };
  const capacity = { gpus, gpuType: 'h100', gpuMemoryMiB: null, policy: { ...open, ...policy } };
  return { clusterId: name, name, labId, state, capacity, busyGpus, running: on };
}

function snapshotOf(
  places: Readonly<Record<string, Place>>,
  queue: readonly WaitingJob[],
  quotas: readonly GpuQuota[] = [],
): Snapshot {
  const clusters = Object.entries(places).map(([name, place]) => clusterOf(name, place));
  const owners = entitlements(clusters, [], new Map(), ['lab-a', 'lab-b', 'lab-c']);
  return { clusters, waiting: queue, owners, ...(quotas.length > 0 && { quotas }) };
}

const decided = (snapshot: Snapshot) => decide(snapshot, nowMs, 1);
const placed = (snapshot: Snapshot) =>
  Object.fromEntries(decided(snapshot).place.map(({ jobId, clusterId, gpus }) => [jobId, [clusterId, gpus]]));
const elastic = { least: 1, most: 8 };

describe('an elastic job', () => {
  it('starts with all its GPUs where it can have them, at home or not, else with half of them at home first', () => {
    const job = waiting('job', elastic);
    expect(placed(snapshotOf({ home: { gpus: 4, labId: 'lab-b' }, away: { gpus: 8 } }, [job]))).toEqual({
      job: ['away', undefined],
    });
    expect(placed(snapshotOf({ home: { gpus: 4, labId: 'lab-b' }, away: { gpus: 7 } }, [job]))).toEqual({
      job: ['home', 4],
    });
    expect(placed(snapshotOf({ home: { gpus: 3, labId: 'lab-b' } }, [job]))).toEqual({ job: ['home', 2] });
  });

  it('leaves what it cannot use by halves to others', () => {
    const queue = [waiting('job', elastic), waiting('small', { least: 1, owner: 'lab-c' })];
    expect(placed(snapshotOf({ a: { gpus: 5 } }, queue))).toEqual({
      job: ['a', 4],
      small: ['a', undefined],
    });
  });

  it('has no more than it needs while others could start, and more of what they leave', () => {
    const queue = [waiting('job', elastic), waiting('gang', { least: 7, owner: 'lab-c' })];
    expect(placed(snapshotOf({ a: { gpus: 8 } }, queue))).toEqual({ job: ['a', 1], gang: ['a', undefined] });
    const two = [waiting('one', elastic), waiting('two', { ...elastic, owner: 'lab-c' })];
    expect(placed(snapshotOf({ a: { gpus: 8 } }, two))).toEqual({ one: ['a', 4], two: ['a', 4] });
    expect(placed(snapshotOf({ a: { gpus: 8 }, b: { gpus: 8 } }, two))).toMatchObject({
      one: [expect.anything(), undefined],
      two: [expect.anything(), undefined],
    });
  });

  it('takes no GPUs at home that others of its lab would have there by now', () => {
    const shadow = { clusterId: 'home', startedMs: nowMs, servedMs: 0 };
    const owed = { shadow, submittedMs: nowMs };
    const queue = [waiting('job', elastic, owed), waiting('later', { least: 7 }, owed)];
    expect(placed(snapshotOf({ home: { gpus: 8, labId: 'lab-b' } }, queue))).toEqual({
      job: ['home', 1],
      later: ['home', undefined],
    });
  });

  it('leaves what is vacated for it and others to the others, but for what it needs', () => {
    const had = { servedMs: 400 * hourMs };
    const on = [running('victim', 8, { least: 8, owner: 'lab-c' }, { ...had, leaving: true })];
    const queue = [waiting('job', elastic), waiting('gang', { least: 4, owner: 'lab-c' })];
    expect(decided(snapshotOf({ a: { gpus: 8, on } }, queue))).toMatchObject({ place: [], preempt: [] });
    expect(placed(snapshotOf({ a: { gpus: 8 } }, queue))).toEqual({ job: ['a', 4], gang: ['a', undefined] });
  });

  it('never starts with fewer than it needs, and says how many it waits for', () => {
    const on = [running('there', 3, { least: 3 }, { preemptible: false })];
    const job = waiting('job', { least: 2, most: 8 });
    const snapshot = snapshotOf({ a: { gpus: 4, on } }, [job]);
    expect(placed(snapshot)).toEqual({});
    expect(explainWaiting(snapshot, nowMs, 1, 'job')).toMatchObject({
      code: 'capacity',
      detail: 'No cluster that may run it has 2 GPUs, of the 8 that it asks for, free',
      change: 'It starts when 2 GPUs in one cluster become free and nobody with a better claim wants them',
    });
  });

  it('makes others leave for no more than it needs', () => {
    const had = { savedMs: nowMs, servedMs: 400 * hourMs };
    const on = ['w', 'x', 'y', 'z'].map((name) => running(name, 2, { least: 2, owner: 'lab-c' }, had));
    const { preempt } = decided(snapshotOf({ a: { gpus: 8, on } }, [waiting('job', { least: 2, most: 8 })]));
    expect(preempt).toHaveLength(1);
  });

  it('has no more than the policy of a cluster lets a job have, and than is left under a quota', () => {
    const job = waiting('job', elastic);
    expect(placed(snapshotOf({ a: { gpus: 8, policy: { gpusPerJobMax: 5 } } }, [job]))).toEqual({
      job: ['a', 4],
    });
    const quota = { key: 'lab/lab-b', gpus: 9, usedGpus: 6 };
    const bound = waiting('job', elastic, { quotas: [quota.key] });
    expect(placed(snapshotOf({ a: { gpus: 8 } }, [bound], [quota]))).toEqual({ job: ['a', 2] });
  });

  it('is for a cluster with a bound on time what it is with the fewest GPUs', () => {
    const short = (secondsPerJobMax: number) => clusterOf('a', { gpus: 8, policy: { secondsPerJobMax } });
    const job = request({ ...elastic, maxSeconds: 1_000 });
    expect(whyNever([short(8_000)], job)).toBeNull();
    expect(whyNever([short(7_999)], job)).toBe(
      'a: its policy takes jobs of up to 7999 s, with 1 GPU the job may take 8000 s',
    );
  });

  it('has a place at home as soon as it could have begun there', () => {
    // Its lab alone has two GPUs free; the other six are lent.
    const on = [running('guest', 6, { least: 6, owner: 'lab-c' }, { preemptible: false })];
    const shadow = { clusterId: null, startedMs: null, servedMs: 0 };
    const job = waiting('job', { least: 2, most: 8 }, { shadow, retryAtMs: nowMs + 1_000 });
    expect(decided(snapshotOf({ home: { gpus: 8, labId: 'lab-b', on } }, [job])).shadow).toMatchObject([
      { jobId: 'job', clusterId: 'home', startedMs: nowMs },
    ]);
  });

  it('is owed what it would have had at home with the fewest, not with all', () => {
    const shadow = { clusterId: 'home', startedMs: nowMs - 4 * hourMs, servedMs: 0 };
    const on = [running('guest', 8, { least: 8, owner: 'lab-c' })];
    const asked = (servedMs: number) =>
      decided(
        snapshotOf({ home: { gpus: 8, labId: 'lab-b', on } }, [
          waiting('job', { least: 2, most: 8 }, { shadow, servedMs, submittedMs: nowMs - 5 * hourMs }),
        ]),
      ).preempt.map(({ reason }) => reason);
    // Four hours with a quarter of its GPUs are one with all of them.
    expect(asked(hourMs)[0]).toContain('belong to the lab of job');
    expect(asked(hourMs + 1)[0]).not.toContain('belong to the lab of job');
  });
});

describe('an elastic job with fewer GPUs than it asks for', () => {
  const small = (more: Partial<RunningJob> = {}) => running('small', 2, elastic, more);
  const leaves = (
    places: Readonly<Record<string, Place>>,
    queue: readonly WaitingJob[] = [],
    quotas?: GpuQuota[],
  ) => decided(snapshotOf(places, queue, quotas)).preempt.map(({ jobId }) => jobId);

  it('leaves to go on with twice as many, where these are left over', () => {
    expect(leaves({ a: { gpus: 4, on: [small()] } })).toEqual(['small']);
    expect(leaves({ a: { gpus: 3, on: [small()] } })).toEqual([]);
    expect(leaves({ a: { gpus: 2, on: [small()] }, b: { gpus: 8 } })).toEqual([]);
  });

  it('stays where somebody waits for them, others leave already, or it cannot save its state', () => {
    expect(leaves({ a: { gpus: 4, on: [small()] } }, [waiting('job', { least: 1 })])).toEqual([]);
    const leaving = running('other', 1, { least: 1 }, { leaving: true });
    expect(leaves({ a: { gpus: 5, on: [small(), leaving] } })).toEqual([]);
    expect(leaves({ a: { gpus: 4, on: [small({ preemptible: false })] } })).toEqual([]);
    expect(leaves({ a: { gpus: 4, on: [small({ startedMs: nowMs - 60_000 })] } })).toEqual([]);
  });

  it('stays where somebody waits who could take what it has', () => {
    const gang = waiting('gang', { least: 4, owner: 'lab-c' }, { retryAtMs: nowMs + 1_000 });
    expect(leaves({ a: { gpus: 4, on: [small()] } }, [gang])).toEqual([]);
    expect(leaves({ a: { gpus: 4, on: [small()] } }, [{ ...gang, gpus: 5 }])).toEqual(['small']);
  });

  it('stays where nothing starts any more', () => {
    expect(leaves({ a: { gpus: 4, state: 'draining', on: [small()] }, b: { gpus: 4 } })).toEqual([]);
    const hourUtc = Math.floor(nowMs / hourMs) % 24;
    const hoursUtc = { from: (hourUtc + 1) % 24, to: (hourUtc + 2) % 24 };
    expect(leaves({ a: { gpus: 4, policy: { hoursUtc }, on: [small()] } })).toEqual([]);
  });

  it('stays where a policy or a quota allows no more', () => {
    expect(leaves({ a: { gpus: 4, policy: { gpusPerJobMax: 3 }, on: [small()] } })).toEqual([]);
    const quota = { key: 'lab/lab-b', gpus: 3, usedGpus: 2 };
    expect(leaves({ a: { gpus: 4, on: [small({ quotas: [quota.key] })] } }, [], [quota])).toEqual([]);
    const larger = { ...quota, gpus: 4 };
    expect(leaves({ a: { gpus: 4, on: [small({ quotas: [quota.key] })] } }, [], [larger])).toEqual(['small']);
  });

  it('lets the one go first that has least of what it asks for, and only one in a cluster', () => {
    const on = [running('half', 4, elastic), small(), running('another', 1, { least: 1, most: 2 })];
    expect(leaves({ a: { gpus: 12, on } })).toEqual(['small']);
  });
});

describe('for any queue', () => {
  const asked = fc
    .record({
      halvings: fc.nat(3),
      odd: fc.constantFrom(1, 3),
      least: fc.nat(3),
      owner: fc.constantFrom('lab-a', 'lab-b'),
    })
    .map(({ halvings, odd, least, owner }) => ({
      owner,
      most: odd * 2 ** halvings,
      least: odd * 2 ** Math.min(least, halvings),
    }));
  const worlds = fc.record({
    gpus: fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 4 }),
    queue: fc.array(asked, { maxLength: 12 }),
  });
  const build = ({ gpus, queue }: { gpus: number[]; queue: (Asked & { most: number })[] }) =>
    snapshotOf(
      Object.fromEntries(gpus.map((count, n) => [`c${n}`, { gpus: count }])),
      queue.map((one, n) => waiting(`job-${String(n).padStart(2, '0')}`, one)),
    );

  it('jobs get one of their sizes, and no cluster gives more than it has', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const snapshot = build(world);
        const free = new Map(
          snapshot.clusters.map(({ clusterId, capacity }) => [clusterId, capacity?.gpus ?? 0]),
        );
        for (const { jobId, clusterId, gpus } of decided(snapshot).place) {
          const job = snapshot.waiting.find((one) => one.jobId === jobId) as WaitingJob;
          const held = gpus ?? job.gpusMost ?? job.gpus;
          expect(sizesOf(job)).toContain(held);
          free.set(clusterId, (free.get(clusterId) ?? 0) - held);
        }
        for (const left of free.values()) expect(left).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });

  it('nobody waits who could have begun with the fewest, nor has half where all of them are left', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const snapshot = build(world);
        const { place } = decided(snapshot);
        const free = new Map(
          snapshot.clusters.map(({ clusterId, capacity }) => [clusterId, capacity?.gpus ?? 0]),
        );
        const heldOf = new Map<string, { held: number; clusterId: string }>();
        for (const { jobId, clusterId, gpus } of place) {
          const job = snapshot.waiting.find((one) => one.jobId === jobId) as WaitingJob;
          const held = gpus ?? job.gpusMost ?? job.gpus;
          heldOf.set(jobId, { held, clusterId });
          free.set(clusterId, (free.get(clusterId) ?? 0) - held);
        }
        const most = Math.max(...free.values());
        for (const job of snapshot.waiting) {
          const has = heldOf.get(job.jobId);
          if (has === undefined) expect(job.gpus).toBeGreaterThan(most);
          else if (has.held < (job.gpusMost ?? job.gpus))
            expect(has.held).toBeGreaterThan(free.get(has.clusterId) ?? 0);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a job that asks for one number alone is placed as it is without the range', () => {
    fc.assert(
      fc.property(worlds, ({ gpus, queue }) => {
        const rigid = queue.map(({ most, owner }) => ({ least: most, most, owner: owner ?? 'lab-a' }));
        const plain = build({ gpus, queue: rigid });
        const ranged = {
          ...plain,
          waiting: plain.waiting.map((job) => ({ ...job, gpusMost: job.gpus })),
        };
        expect(decided(ranged)).toEqual(decided(plain));
      }),
      { numRuns: 100 },
    );
  });

  it('time with some GPUs and the time of the same work with all of them are each other’s inverse', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 0, max: 5 }), (time, halvings) => {
        const most = 3 * 2 ** halvings;
        for (const gpus of sizesOf({ gpus: 3, gpusMost: most }))
          expect(timeWithAll(timeWithSome(time, gpus, most), gpus, most)).toBe(time);
      }),
    );
  });
});
