import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.js';
import { entitlements } from './entitlements.js';
import { explainWaiting } from './explain-waiting.js';
import { judgeNow, whyNever } from './judge-cluster.js';
import {
  type ClusterPolicy,
  consortium,
  type Snapshot,
  type SnapshotCluster,
  type WaitingJob,
} from './snapshot.js';

const nowMs = 1_800_000_000_000;
const reserveAfterMs = 120_000;
const open: ClusterPolicy = {
  kinds: ['train', 'serve', 'infer', 'capture', 'evaluate'],
  labIds: null,
  consortium: true,
  gpusPerJobMax: null,
  secondsPerJobMax: null,
  hoursUtc: null,
};

function cluster(id: string, gpus: number, more: Partial<SnapshotCluster> = {}): SnapshotCluster {
  return {
    clusterId: id,
    name: id,
    labId: `lab-${id}`,
    state: 'active',
    capacity: { gpus, gpuType: 'h100', gpuMemoryMiB: 80_000, policy: open },
    busyGpus: {},
    ...more,
  };
}

function job(id: string, gpus: number, more: Partial<WaitingJob> = {}): WaitingJob {
  return {
    jobId: id,
    kind: 'train',
    owner: consortium,
    gpus,
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: 3_600,
    priority: 0,
    submittedMs: nowMs - 1_000,
    retryAtMs: null,
    avoid: [],
    ...more,
  };
}

function snapshot(clusters: SnapshotCluster[], waiting: WaitingJob[], pledgedGpuSeconds = 0): Snapshot {
  const pledges = clusters.map((c) => ({ labId: c.labId, gpuSeconds: pledgedGpuSeconds }));
  return {
    clusters,
    waiting,
    owners: entitlements(
      clusters,
      pledges,
      new Map(),
      waiting.map((w) => w.owner),
    ),
  };
}

const owners = ['lab-a', 'lab-b', 'lab-c', consortium];
const someSnapshot = fc
  .record({
    clusters: fc.array(
      fc.record({
        gpus: fc.integer({ min: 0, max: 16 }),
        busy: fc.integer({ min: 0, max: 20 }),
        state: fc.constantFrom('active' as const, 'active' as const, 'draining' as const, 'down' as const),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    jobs: fc.array(
      fc.record({
        gpus: fc.integer({ min: 1, max: 12 }),
        owner: fc.constantFrom(...owners),
        priority: fc.integer({ min: -2, max: 2 }),
        ageMs: fc.integer({ min: 0, max: 2 * reserveAfterMs }),
      }),
      { maxLength: 40 },
    ),
  })
  .map(({ clusters, jobs }) =>
    snapshot(
      clusters.map(({ gpus, busy, state }, index) =>
        cluster(String.fromCharCode(97 + index), gpus, {
          state,
          busyGpus: { [consortium]: Math.min(busy, gpus) },
        }),
      ),
      jobs.map(({ gpus, owner, priority, ageMs }, index) =>
        job(`job${index}`, gpus, { owner, priority, submittedMs: nowMs - ageMs }),
      ),
    ),
  );

function freeOf(snap: Snapshot): Map<string, number> {
  return new Map(
    snap.clusters.map((c) => [
      c.clusterId,
      (c.capacity?.gpus ?? 0) - Object.values(c.busyGpus).reduce((sum, gpus) => sum + gpus, 0),
    ]),
  );
}

describe('a decision', () => {
  it('never gives a cluster more than is free there, and each job whole to one cluster', () => {
    fc.assert(
      fc.property(someSnapshot, fc.integer(), (snap, seed) => {
        const free = freeOf(snap);
        const { place } = decide(snap, nowMs, seed);
        expect(new Set(place.map((p) => p.jobId)).size).toBe(place.length);
        for (const { jobId, clusterId } of place) {
          const gpus = snap.waiting.find((w) => w.jobId === jobId)?.gpus ?? 0;
          free.set(clusterId, (free.get(clusterId) ?? 0) - gpus);
        }
        for (const left of free.values()) expect(left).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('places every job or says why not', () => {
    fc.assert(
      fc.property(someSnapshot, (snap) => {
        const placed = new Set(decide(snap, nowMs, 1).place.map((p) => p.jobId));
        for (const { jobId } of snap.waiting) {
          const why = explainWaiting(snap, nowMs, 1, jobId);
          expect(why === undefined).toBe(placed.has(jobId));
          if (why !== undefined) expect(why.detail).not.toBe('');
        }
      }),
    );
  });

  it('is the same for the same snapshot, time and seed, in whatever order the jobs come', () => {
    fc.assert(
      fc.property(someSnapshot, fc.integer(), (snap, seed) => {
        const again = { ...snap, waiting: [...snap.waiting].reverse() };
        expect(decide(again, nowMs, seed)).toEqual(decide(snap, nowMs, seed));
      }),
    );
  });

  it('leaves nothing idle that a young job could use', () => {
    fc.assert(
      fc.property(someSnapshot, (snap) => {
        const young = { ...snap, waiting: snap.waiting.map((w) => ({ ...w, submittedMs: nowMs })) };
        const free = freeOf(young);
        const { place } = decide(young, nowMs, 1);
        const placed = new Set(place.map((p) => p.jobId));
        for (const { jobId, clusterId } of place) {
          const gpus = young.waiting.find((w) => w.jobId === jobId)?.gpus ?? 0;
          free.set(clusterId, (free.get(clusterId) ?? 0) - gpus);
        }
        for (const left of young.waiting.filter((w) => !placed.has(w.jobId))) {
          for (const c of young.clusters) {
            expect(judgeNow(c, left, free.get(c.clusterId) ?? 0, nowMs).fits).not.toBe('now');
          }
        }
      }),
    );
  });

  it('shares a full consortium as it was pledged, within one GPU of each entitlement', () => {
    // Three labs with 8, 4 and 4 GPUs, all with more work than fits, in jobs of one GPU.
    const clusters = [cluster('a', 8), cluster('b', 4), cluster('c', 4)];
    const waiting = owners
      .filter((owner) => owner !== consortium)
      .flatMap((owner) => Array.from({ length: 30 }, (_, i) => job(`${owner}/${i}`, 1, { owner })));
    const { place } = decide(snapshot(clusters, waiting), nowMs, 3);
    const got = (owner: string): number => place.filter((p) => p.jobId.startsWith(owner)).length;
    expect(place).toHaveLength(16);
    expect(Math.abs(got('lab-a') - 8)).toBeLessThanOrEqual(1);
    expect(Math.abs(got('lab-b') - 4)).toBeLessThanOrEqual(1);
    expect(Math.abs(got('lab-c') - 4)).toBeLessThanOrEqual(1);
  });

  it('runs suites on what labs pledged: half of everything here', () => {
    const clusters = [cluster('a', 8), cluster('b', 8)];
    const waiting = ['lab-a', 'lab-b', consortium].flatMap((owner) =>
      Array.from({ length: 30 }, (_, i) => job(`${owner}/${i}`, 1, { owner })),
    );
    const halfOfEach = 4 * 30 * 24 * 3_600;
    const { place } = decide(snapshot(clusters, waiting, halfOfEach), nowMs, 3);
    expect(place.filter((p) => p.jobId.startsWith(consortium))).toHaveLength(8);
  });

  it('lends what an owner does not use', () => {
    const snap = snapshot(
      [cluster('a', 4)],
      [1, 2, 3, 4].map((i) => job(`job${i}`, 1, { owner: 'lab-z' })),
    );
    expect(decide(snap, nowMs, 1).place).toHaveLength(4);
  });

  it('lets a job run at home when there is room in both places', () => {
    const snap = snapshot([cluster('a', 4), cluster('b', 2)], [job('j', 1, { owner: 'lab-a' })]);
    expect(decide(snap, nowMs, 1).place).toEqual([{ jobId: 'j', clusterId: 'a' }]);
  });

  it('keeps a cluster free for a gang that has waited long, so that it does not starve', () => {
    const old = job('gang', 8, { submittedMs: nowMs - reserveAfterMs });
    const small = Array.from({ length: 4 }, (_, i) => job(`small${i}`, 1));
    const busy = cluster('a', 8, { busyGpus: { 'lab-x': 5 } });
    const snap = snapshot([busy], [old, ...small]);
    expect(decide(snap, nowMs, 1).place).toEqual([]);
    expect(explainWaiting(snap, nowMs, 1, 'gang')?.code).toBe('capacity');
    expect(explainWaiting(snap, nowMs, 1, 'small0')?.code).toBe('reserved');
  });

  it('does not try a job before its time, nor on a cluster that has just declined it', () => {
    const snap = snapshot(
      [cluster('a', 4)],
      [job('later', 1, { retryAtMs: nowMs + 5_000 }), job('declined', 1, { avoid: ['a'] })],
    );
    expect(decide(snap, nowMs, 1).place).toEqual([]);
    expect(explainWaiting(snap, nowMs, 1, 'later')?.code).toBe('retry-later');
    expect(explainWaiting(snap, nowMs, 1, 'declined')?.code).toBe('retry-later');
  });

  it('says which cluster says what', () => {
    const snap = snapshot(
      [cluster('a', 2), cluster('b', 8, { state: 'drained' }), cluster('c', 8, { busyGpus: { x: 7 } })],
      [job('j', 4)],
    );
    expect(explainWaiting(snap, nowMs, 1, 'j')?.clusters).toEqual([
      { clusterId: 'a', name: 'a', says: 'it has 2 GPUs, the job needs 4 in one cluster' },
      { clusterId: 'b', name: 'b', says: 'it is drained' },
      { clusterId: 'c', name: 'c', says: '1 GPUs are free, the job needs 4' },
    ]);
  });
});

describe('a job that can never run', () => {
  it('is told apart from one that cannot run now', () => {
    const clusters = [cluster('a', 4, { state: 'down', busyGpus: { x: 4 } })];
    expect(whyNever(clusters, job('j', 4))).toBeNull();
    expect(whyNever(clusters, job('j', 5))).toContain('it has 4 GPUs');
    expect(whyNever(clusters, job('j', 1, { gpuType: 'b200' }))).toContain('h100');
    expect(whyNever([], job('j', 1))).toContain('no cluster yet');
  });

  it('may be refused by what operators decided', () => {
    const closed = cluster('a', 4, {
      capacity: {
        gpus: 4,
        gpuType: 'cpu',
        gpuMemoryMiB: null,
        policy: { ...open, kinds: ['train'], consortium: false, labIds: ['lab-a'], secondsPerJobMax: 60 },
      },
    });
    const of = (more: Partial<WaitingJob>) =>
      whyNever([closed], job('j', 1, { owner: 'lab-a', maxSeconds: 60, ...more }));
    expect(of({})).toBeNull();
    expect(of({ kind: 'serve' })).toContain('no serve jobs');
    expect(of({ owner: consortium })).toContain('no jobs of the consortium');
    expect(of({ owner: 'lab-b' })).toContain('no jobs of this lab');
    expect(of({ maxSeconds: 61 })).toContain('up to 60 s');
    expect(of({ gpuMemoryMiB: 1 })).toContain('unknown memory');
  });
});
