import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../decide.js';
import type { Rank } from '../policy.js';
import type { NodeShare, RunningJob, Snapshot, SnapshotCluster, WaitingJob } from '../snapshot.js';

const policy = {
  kinds: ['train'],
  labIds: null,
  consortium: true,
  gpusPerJobMax: null,
  secondsPerJobMax: null,
  hoursUtc: null,
} as const;

function cluster(id: string, nodes: number, gpusPerNode: number): SnapshotCluster {
  return {
    clusterId: id,
    name: id,
    labId: 'lab',
    state: 'active',
    capacity: { gpus: nodes * gpusPerNode, gpuType: 'any', gpuMemoryMiB: null, policy },
    busyGpus: {},
    running: [],
    nodes: Array.from({ length: nodes }, (_, at) => ({
      nodeId: `${id}/${at}`,
      gpuType: null,
      freeGpuMilli: Array.from({ length: gpusPerNode }, () => 1000),
      freeCpuMilli: 0,
      freeMemoryMiB: 0,
    })),
  };
}

function job(jobId: string, gpus: number, remainingSeconds: number, submittedMs = 0): WaitingJob {
  return {
    jobId,
    gpus,
    remainingSeconds,
    submittedMs,
    kind: 'train',
    owner: 'lab',
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: 1,
    priority: 0,
    retryAtMs: null,
    avoid: [],
  };
}

function by(rank: Rank, snapshot: Snapshot) {
  return decide(snapshot, 0, 0, { kind: 'preemptive-order', rank });
}

/** The same world after a decision was applied. */
function applied(snapshot: Snapshot, rank: Rank): Snapshot {
  const { place, preempt, move } = by(rank, snapshot);
  const spots = new Map([...place, ...move].map((spot) => [spot.jobId, spot]));
  const gone = new Set(preempt.map(({ jobId }) => jobId));
  const before = snapshot.clusters.flatMap((one) =>
    (one.running ?? []).map((running) => ({ ...running, at: one.clusterId })),
  );
  const runs = [
    ...before.filter(({ jobId }) => !gone.has(jobId)),
    ...snapshot.waiting
      .filter(({ jobId }) => spots.has(jobId))
      .map((waiting) => ({ ...waiting, attempt: 1, startedMs: 0, at: '' })),
  ].map((one) => {
    const spot = spots.get(one.jobId);
    return spot === undefined ? one : { ...one, at: spot.clusterId, on: spot.nodes ?? [] };
  });
  return {
    ...snapshot,
    waiting: snapshot.waiting.filter(({ jobId }) => !spots.has(jobId)),
    clusters: snapshot.clusters.map((one) => {
      const running: RunningJob[] = runs.filter(({ at }) => at === one.clusterId);
      const held = running.flatMap(({ on = [] }) => on);
      return {
        ...one,
        running,
        nodes: (one.nodes ?? []).map((node) => ({ ...node, ...freeOf(node, held) })),
      };
    }),
  };
}

function freeOf(
  { nodeId, freeGpuMilli }: { nodeId: string; freeGpuMilli: readonly number[] },
  held: NodeShare[],
) {
  const taken = new Set(held.filter((share) => share.nodeId === nodeId).flatMap(({ gpus }) => gpus));
  return { freeGpuMilli: freeGpuMilli.map((_, gpu) => (taken.has(gpu) ? 0 : 1000)) };
}

const worlds = fc.record({
  sizes: fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 8 })), {
    minLength: 1,
    maxLength: 3,
  }),
  jobs: fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 1_000_000 })), {
    maxLength: 30,
  }),
  rank: fc.constantFrom<Rank>('srtf', 'srsf'),
});

function worldOf({ sizes, jobs }: { sizes: [number, number][]; jobs: [number, number][] }): Snapshot {
  return {
    clusters: sizes.map(([nodes, gpus], at) => cluster(`c${at}`, nodes, gpus)),
    waiting: jobs.map(([gpus, seconds], at) => job(`j${String(at).padStart(3, '0')}`, gpus, seconds, at)),
    owners: [],
  };
}

describe('a preemptive order', () => {
  it('places the shortest first, each where it first fits, and fills gaps with smaller jobs', () => {
    const waiting = [job('long', 8, 900), job('short', 8, 10), job('large', 16, 20), job('small', 4, 950)];
    const { place } = by('srtf', { clusters: [cluster('c', 2, 8)], waiting, owners: [] });
    expect(place.map(({ jobId, nodes }) => [jobId, nodes?.map(({ nodeId }) => nodeId)])).toEqual([
      ['short', ['c/0']],
      ['long', ['c/1']],
    ]);
  });

  it('weighs the remaining time by GPUs where it is asked to', () => {
    const waiting = [job('wide', 8, 10), job('narrow', 1, 70)];
    const one = { clusters: [cluster('c', 1, 8)], waiting, owners: [] };
    expect(by('srtf', one).place.map(({ jobId }) => jobId)).toEqual(['wide']);
    expect(by('srsf', one).place.map(({ jobId }) => jobId)).toEqual(['narrow']);
  });

  it('gives a gang larger than a node whole nodes and a part of one more', () => {
    const { place } = by('srtf', {
      clusters: [cluster('c', 3, 4)],
      waiting: [job('gang', 10, 1)],
      owners: [],
    });
    expect(place[0]?.nodes?.map(({ nodeId, gpus }) => [nodeId, gpus.length])).toEqual([
      ['c/0', 4],
      ['c/1', 4],
      ['c/2', 2],
    ]);
  });

  it('preempts whoever no longer fits, and nobody else', () => {
    const first = applied(
      { clusters: [cluster('c', 1, 8)], waiting: [job('a', 8, 100)], owners: [] },
      'srtf',
    );
    const next = { ...first, waiting: [job('b', 4, 50)] };
    const { place, preempt } = by('srtf', next);
    expect(place.map(({ jobId }) => jobId)).toEqual(['b']);
    expect(preempt).toEqual([expect.objectContaining({ jobId: 'a', attempt: 1 })]);
    expect(by('srtf', { ...first, waiting: [job('b', 4, 500)] })).toMatchObject({ place: [], preempt: [] });
  });

  it('never gives a GPU twice, splits no gang over clusters, and gives each what it asked for', () => {
    fc.assert(
      fc.property(worlds, fc.array(fc.integer({ min: 0, max: 29 })), (world, finished) => {
        const full = applied(worldOf(world), world.rank);
        const left = new Set(finished.map((at) => `j${String(at).padStart(3, '0')}`));
        const later = {
          ...full,
          clusters: full.clusters.map((one) => {
            const running = (one.running ?? []).filter(({ jobId }) => !left.has(jobId));
            const held = running.flatMap(({ on = [] }) => on);
            return { ...one, running, nodes: (one.nodes ?? []).map((n) => ({ ...n, ...freeOf(n, held) })) };
          }),
        };
        for (const state of [full, applied(later, world.rank)]) {
          for (const { clusterId, running = [] } of state.clusters) {
            const given = running.flatMap(({ on = [] }) =>
              on.flatMap(({ nodeId, gpus }) => gpus.map((gpu) => `${nodeId}#${gpu}`)),
            );
            expect(new Set(given).size).toBe(given.length);
            for (const one of running) {
              expect(one.on?.reduce((sum, { gpus }) => sum + gpus.length, 0)).toBe(one.gpus);
              expect(one.on?.every(({ nodeId }) => nodeId.startsWith(`${clusterId}/`))).toBe(true);
            }
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('decides alike whatever the jobs are called and in whatever order they are listed', () => {
    fc.assert(
      fc.property(worlds, fc.integer(), (world, salt) => {
        const snapshot = worldOf(world);
        const renamed = snapshot.waiting
          .map((one) => ({ ...one, jobId: `${salt}-${one.jobId}` }))
          .sort((a, b) => a.gpus - b.gpus || (a.jobId < b.jobId ? 1 : -1));
        const names = (decided: ReturnType<typeof decide>, drop: number) =>
          decided.place.map((spot) => ({ ...spot, jobId: spot.jobId.slice(drop) }));
        expect(names(by(world.rank, { ...snapshot, waiting: renamed }), `${salt}-`.length)).toEqual(
          names(by(world.rank, snapshot), 0),
        );
      }),
    );
  });
});
