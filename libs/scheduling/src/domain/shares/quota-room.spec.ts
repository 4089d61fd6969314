import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../decide.js';
import { entitlements } from '../entitlements.js';
import { explainWaiting } from '../explain-waiting.js';
import { judgeNow } from '../judge-cluster.js';
import {
  consortium,
  type GpuQuota,
  type LoneShadow,
  type RunningJob,
  type Snapshot,
  type SnapshotCluster,
  type WaitingJob,
} from '../snapshot.js';

const hourMs = 3_600_000;
const nowMs = 1_800_000_000_000;
const reserveAfterMs = 120_000;

function cluster(labId: string, gpus: number, running: readonly RunningJob[] = []): SnapshotCluster {
  const busyGpus: Record<string, number> = {};
  for (const one of running) busyGpus[one.owner] = (busyGpus[one.owner] ?? 0) + one.gpus;
  return {
    clusterId: `of-${labId}`,
    name: `of-${labId}`,
    labId,
    state: 'active',
    capacity: {
      gpus,
      gpuType: 'h100',
      gpuMemoryMiB: null,
      policy: {
        kinds: ['train', 'serve'],
        labIds: null,
        consortium: true,
        gpusPerJobMax: null,
        secondsPerJobMax: null,
        hoursUtc: null,
      },
    },
    busyGpus,
    running,
  };
}

const request = { kind: 'train', gpuType: null, gpuMemoryMiB: null, maxSeconds: 10_000_000 } as const;

function job(jobId: string, owner: string, gpus: number, more: Partial<WaitingJob> = {}): WaitingJob {
  const times = { submittedMs: nowMs - 1_000, retryAtMs: null };
  return { ...request, jobId, owner, gpus, priority: 0, avoid: [], preemptible: true, ...times, ...more };
}

function guest(jobId: string, owner: string, gpus: number, more: Partial<RunningJob> = {}): RunningJob {
  const startedMs = nowMs - 2 * hourMs;
  const times = { submittedMs: startedMs, startedMs, savedMs: nowMs };
  return { ...request, jobId, owner, gpus, attempt: 1, preemptible: true, ...times, ...more };
}

function snapshotOf(
  clusters: readonly SnapshotCluster[],
  waiting: readonly WaitingJob[],
  quotas: readonly GpuQuota[],
  loneShadows: readonly LoneShadow[] = [],
): Snapshot {
  const owners = entitlements(
    clusters,
    [],
    new Map(),
    waiting.map(({ owner }) => owner),
  );
  return { clusters, waiting, owners, quotas, loneShadows };
}

const startedBy = (snapshot: Snapshot, seed = 1): string[] =>
  decide(snapshot, nowMs, seed).place.map(({ jobId }) => jobId);

const keys = ['person/per_a', 'lab/lab_a', 'project/sui_a'];
const somewhere = fc
  .record({
    gpus: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 }),
    quotas: fc.array(
      fc.record({ gpus: fc.integer({ min: 0, max: 12 }), usedGpus: fc.integer({ min: 0, max: 14 }) }),
      { minLength: 3, maxLength: 3 },
    ),
    jobs: fc.array(
      fc.record({
        gpus: fc.integer({ min: 1, max: 8 }),
        owner: fc.constantFrom('lab-0', 'lab-1', consortium),
        priority: fc.integer({ min: -1, max: 1 }),
        ageMs: fc.integer({ min: 0, max: 2 * reserveAfterMs }),
        servedHours: fc.constantFrom(0, 0, 3),
        quotas: fc.subarray(keys),
        startedAtHome: fc.boolean(),
      }),
      { maxLength: 30 },
    ),
    busy: fc.integer({ min: 0, max: 12 }),
  })
  .map(({ gpus, quotas, jobs, busy }): Snapshot => {
    const clusters = gpus.map((many, at) => {
      const there = at === 0 && busy > 0 && busy <= many ? [guest('guest', 'lab-9', busy)] : [];
      return cluster(`lab-${at}`, many, there);
    });
    return snapshotOf(
      clusters,
      jobs.map(({ ageMs, servedHours, startedAtHome, quotas: under, ...wish }, at) => ({
        ...job(`job${at}`, wish.owner, wish.gpus, { submittedMs: nowMs - ageMs }),
        priority: wish.priority,
        servedMs: servedHours * hourMs,
        ...(under.length > 0 && { quotas: under }),
        ...(startedAtHome &&
          wish.owner === 'lab-0' && {
            shadow: { clusterId: 'of-lab-0', startedMs: nowMs - ageMs, servedMs: 0 },
          }),
      })),
      quotas.map((quota, at) => ({ key: keys[at] as string, ...quota })),
    );
  });

describe('a decision under quotas of GPUs', () => {
  it('never passes one of them, however many jobs start together', () => {
    fc.assert(
      fc.property(somewhere, fc.integer(), (snapshot, seed) => {
        const started = new Set(startedBy(snapshot, seed));
        for (const { key, gpus, usedGpus } of snapshot.quotas ?? []) {
          const got = snapshot.waiting
            .filter(({ jobId, quotas }) => started.has(jobId) && quotas?.includes(key))
            .reduce((sum, one) => sum + one.gpus, 0);
          expect(got).toBeLessThanOrEqual(Math.max(0, gpus - usedGpus));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('says of each placement under which of them it stands, so that the write can look again', () => {
    fc.assert(
      fc.property(somewhere, (snapshot) => {
        const wished = new Map(snapshot.waiting.map((one) => [one.jobId, one.quotas]));
        for (const { jobId, quotas } of decide(snapshot, nowMs, 1).place)
          expect(quotas).toEqual(wished.get(jobId));
      }),
    );
  });

  it('starts the others as if those at a limit were not there', () => {
    fc.assert(
      fc.property(somewhere, (snapshot) => {
        const [one] = snapshot.clusters;
        // Young jobs, one cluster: room is kept for nobody, and ties are not drawn by lot.
        const young = snapshot.waiting.map(({ shadow: _, ...rest }) => ({ ...rest, submittedMs: nowMs }));
        const room = new Map((snapshot.quotas ?? []).map((q) => [q.key, q.gpus - q.usedGpus]));
        const fits = young.filter((w) => (w.quotas ?? []).every((key) => (room.get(key) ?? 0) >= w.gpus));
        const clusters = [one as SnapshotCluster];
        const all = { ...snapshot, clusters, waiting: young };
        expect(startedBy(all)).toEqual(startedBy({ ...all, waiting: fits }));
      }),
    );
  });

  it('leaves nothing idle that a young job could use within its quotas', () => {
    fc.assert(
      fc.property(somewhere, (snapshot) => {
        const young = snapshot.waiting.map(({ shadow: _, ...rest }) => ({ ...rest, submittedMs: nowMs }));
        // Where somebody could be asked to leave, what is free would be kept until they have gone.
        const clusters = snapshot.clusters.map((c) => ({
          ...c,
          running: (c.running ?? []).map((one) => ({ ...one, preemptible: false })),
        }));
        const snap = { ...snapshot, clusters, waiting: young };
        const { place } = decide(snap, nowMs, 1);
        const room = new Map((snap.quotas ?? []).map((q) => [q.key, q.gpus - q.usedGpus]));
        const free = new Map(
          snap.clusters.map((c) => [c.clusterId, (c.capacity?.gpus ?? 0) - (c.busyGpus['lab-9'] ?? 0)]),
        );
        const byId = new Map(young.map((one) => [one.jobId, one]));
        for (const { jobId, clusterId } of place) {
          const { gpus, quotas = [] } = byId.get(jobId) as WaitingJob;
          free.set(clusterId, (free.get(clusterId) ?? 0) - gpus);
          for (const key of quotas) room.set(key, (room.get(key) ?? 0) - gpus);
          byId.delete(jobId);
        }
        for (const left of byId.values()) {
          if ((left.quotas ?? []).some((key) => (room.get(key) ?? 0) < left.gpus)) continue;
          for (const c of snap.clusters)
            expect(judgeNow(c, left, free.get(c.clusterId) ?? 0, nowMs).fits).not.toBe('now');
        }
      }),
    );
  });

  it('places every job or says why not, and names the quota where that is what is missing', () => {
    fc.assert(
      fc.property(somewhere, (snapshot) => {
        const placed = new Set(startedBy(snapshot));
        for (const one of snapshot.waiting) {
          const why = explainWaiting(snapshot, nowMs, 1, one.jobId);
          expect(why === undefined).toBe(placed.has(one.jobId));
          const full = (snapshot.quotas ?? []).some(
            (q) => one.quotas?.includes(q.key) && q.usedGpus + one.gpus > q.gpus,
          );
          if (full && why?.code !== 'unschedulable') expect(why?.code).toBe('quota');
          if (one.quotas === undefined) expect(why?.code).not.toBe('quota');
        }
      }),
    );
  });

  it('owes no place at home to a job that its quota keeps from running', () => {
    fc.assert(
      fc.property(somewhere, (snapshot) => {
        const { shadow } = decide(snapshot, nowMs, 1);
        const room = new Map((snapshot.quotas ?? []).map((q) => [q.key, q.gpus - q.usedGpus]));
        for (const one of snapshot.waiting) {
          if (!one.quotas?.some((key) => (room.get(key) ?? 0) < one.gpus)) continue;
          const move = shadow.find(({ jobId }) => jobId === one.jobId);
          expect(move?.startedMs ?? null).toBeNull();
          if (one.shadow !== undefined) expect(move).toBeDefined();
        }
      }),
    );
  });
});

const quota = (gpus: number, usedGpus: number): GpuQuota => ({ key: 'person/per_a', gpus, usedGpus });
const mine = { quotas: ['person/per_a'] };

describe('at the limit', () => {
  it('a job waits, whatever is free and whatever its priority, and behind it others start', () => {
    const queue = [
      job('mine', 'lab-a', 1, { ...mine, priority: 9, submittedMs: nowMs - hourMs }),
      job('theirs', 'lab-a', 1),
    ];
    expect(startedBy(snapshotOf([cluster('lab-a', 4)], queue, [quota(2, 2)]))).toEqual(['theirs']);
    expect(startedBy(snapshotOf([cluster('lab-a', 4)], queue, [quota(3, 2)]))).toEqual(['mine', 'theirs']);
  });

  it('a job makes nobody leave', () => {
    const full = [cluster('lab-b', 4, [guest('long', 'lab-b', 4, { servedMs: 100 * hourMs })])];
    const wish = [job('mine', 'lab-a', 2, mine)];
    expect(decide(snapshotOf(full, wish, [quota(2, 1)]), nowMs, 1).preempt).toEqual([]);
    expect(decide(snapshotOf(full, wish, [quota(3, 1)]), nowMs, 1).preempt).toHaveLength(1);
  });

  it('jobs for which room is being made count as if they had it', () => {
    const full = [
      cluster('lab-b', 4, [guest('long', 'lab-b', 4, { servedMs: 100 * hourMs })]),
      cluster('lab-c', 4),
    ];
    // The first can only run where somebody has to leave; the second would take its room under the quota meanwhile.
    const first = job('first', 'lab-a', 2, { ...mine, avoid: ['of-lab-c'], submittedMs: nowMs - 5_000 });
    const second = job('second', 'lab-a', 2, mine);
    const { place, preempt } = decide(snapshotOf(full, [first, second], [quota(3, 0)]), nowMs, 1);
    expect(preempt.map(({ jobId }) => jobId)).toEqual(['long']);
    expect(place).toEqual([]);
  });

  it('small jobs do not for ever take the room that a large one waits for', () => {
    const young = job('gang', 'lab-a', 4, { ...mine, submittedMs: nowMs - reserveAfterMs + 1 });
    const small = job('small', 'lab-b', 1, mine);
    const other = job('other', 'lab-b', 1);
    const room = quota(4, 2);
    const at = (queue: WaitingJob[]) => snapshotOf([cluster('lab-a', 8)], queue, [room]);
    expect(startedBy(at([young, small, other])).sort()).toEqual(['other', 'small']);
    const old = { ...young, submittedMs: nowMs - reserveAfterMs };
    expect(startedBy(at([old, small, other]))).toEqual(['other']);
    // Whoever has the earlier turn goes first all the same.
    expect(startedBy(at([old, { ...small, priority: 1 }]))).toEqual(['small']);
    // Nothing is kept for what could not run, or not under this quota, or is not tried again yet.
    expect(startedBy(at([{ ...old, gpus: 9 }, small]))).toEqual(['small']);
    expect(startedBy(at([{ ...old, gpus: 5 }, small]))).toEqual(['small']);
    expect(startedBy(at([{ ...old, retryAtMs: nowMs + 1 }, small]))).toEqual(['small']);
  });

  it('is explained by what is used, what is asked for and what would have to change', () => {
    const why = (wish: WaitingJob, room: GpuQuota, others: WaitingJob[] = []) =>
      explainWaiting(snapshotOf([cluster('lab-a', 8)], [wish, ...others], [room]), nowMs, 1, wish.jobId);
    const wish = job('mine', 'lab-a', 2, mine);
    expect(why(wish, quota(4, 3))).toMatchObject({
      code: 'quota',
      detail:
        'The quota of the person per_a is 4 GPUs at the same time: running jobs hold 3, and it asks for 2',
      change:
        'It may start when jobs under the quota have given back 1 GPU, or when the secretariat raises the quota',
      clusters: [{ says: 'it has room' }],
    });
    expect(why(wish, quota(1, 0))?.detail).toBe(
      'The quota of the person per_a is 1 GPU at the same time; it asks for 2',
    );
    expect(why(wish, quota(1, 0))?.change).toContain('raise the quota to 2 or more');
    const gang = job('gang', 'lab-a', 3, { ...mine, submittedMs: nowMs - reserveAfterMs });
    expect(why(wish, quota(4, 2), [gang])?.detail).toContain(
      'kept for gang, which has waited longer and needs 3',
    );
    const earlier = job('earlier', 'lab-a', 3, { ...mine, submittedMs: nowMs - 2_000 });
    expect(why(wish, quota(4, 0), [earlier])?.detail).toContain('jobs under it whose turn is earlier');
    expect(why(wish, quota(4, 2))).toBeUndefined();
  });
});

describe('the schedule that a lab would have had alone', () => {
  const full = [cluster('lab-a', 2, [guest('guest', 'lab-b', 2)])];
  const wish = job('mine', 'lab-a', 2, mine);
  const shadowOf = (jobId: string, snapshot: Snapshot) =>
    decide(snapshot, nowMs, 1).shadow.find((move) => move.jobId === jobId);

  it('has a job under a quota from when there is room for it, and then its place is owed as any', () => {
    const free = snapshotOf(full, [wish], [quota(2, 0)]);
    expect(shadowOf('mine', free)).toMatchObject({ enters: true, startedMs: nowMs, clusterId: 'of-lab-a' });
    expect(decide(free, nowMs, 1).preempt.map(({ jobId }) => jobId)).toEqual(['guest']);
    const atLimit = snapshotOf(full, [wish], [quota(2, 1)]);
    expect(decide(atLimit, nowMs, 1)).toMatchObject({ preempt: [], shadow: [] });
  });

  it('holds no more of those that wait than have room together', () => {
    const home = [cluster('lab-a', 8, [guest('guest', 'lab-b', 8)])];
    const queue = ['j1', 'j2', 'j3'].map((jobId) => job(jobId, 'lab-a', 2, mine));
    const { shadow } = decide(snapshotOf(home, queue, [quota(4, 0)]), nowMs, 1);
    expect(shadow.map(({ jobId }) => jobId)).toEqual(['j1', 'j2']);
  });

  it('stops a job that runs there when its quota has no room, and keeps what it has had', () => {
    const since = { clusterId: 'of-lab-a', startedMs: nowMs - hourMs, servedMs: 1_000 };
    const atLimit = snapshotOf(full, [{ ...wish, shadow: since }], [quota(2, 1)]);
    expect(shadowOf('mine', atLimit)).toEqual({
      jobId: 'mine',
      ended: false,
      clusterId: null,
      startedMs: null,
      servedMs: hourMs + 1_000,
    });
    const stopped = { clusterId: null, startedMs: null, servedMs: hourMs };
    expect(shadowOf('mine', snapshotOf(full, [{ ...wish, shadow: stopped }], [quota(2, 1)]))).toBeUndefined();
    expect(shadowOf('mine', snapshotOf(full, [{ ...wish, shadow: stopped }], [quota(2, 0)]))).toMatchObject({
      startedMs: nowMs,
      servedMs: hourMs,
    });
  });

  it('does not hide others behind those at a limit, which leave it', () => {
    const before = (jobId: string, n: number): LoneShadow => ({
      jobId,
      owner: 'lab-a',
      gpus: 2,
      submittedMs: nowMs - hourMs + n,
      clusterId: null,
      startedMs: null,
      servedMs: 0,
      totalMs: null,
      quotas: ['person/per_a'],
    });
    const many = Array.from({ length: 64 }, (_, n) => before(`capped${n}`, n));
    const place = { clusterId: null, startedMs: null, servedMs: 0 };
    const theirs = job('theirs', 'lab-a', 2, { shadow: place });
    const { shadow, preempt } = decide(snapshotOf(full, [theirs], [quota(2, 2)], many), nowMs, 1);
    expect(shadow.filter(({ ended }) => ended)).toHaveLength(64);
    expect(preempt.map(({ reason }) => reason)).toEqual([expect.stringContaining('lab of theirs')]);
  });
});
