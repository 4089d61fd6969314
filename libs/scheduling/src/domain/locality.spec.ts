import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.js';
import { entitlements } from './entitlements.js';
import { liesElsewhere, startsToLookUp, withCachedBytes, wordsOfBytes } from './locality.js';
import type { Snapshot, SnapshotCluster, WaitingJob } from './snapshot.js';

const nowMs = 1_800_000_000_000;
const gib = 1024 ** 3;
const owners = ['lab-a', 'lab-b', 'lab-c'];

function cluster(clusterId: string, labId: string, gpus: number, busyGpus = 0): SnapshotCluster {
  return {
    clusterId,
    name: clusterId,
    labId,
    state: 'active',
    keepsInputs: true,
    capacity: {
      gpus,
      gpuType: 'h100',
      gpuMemoryMiB: null,
      policy: {
        kinds: ['train'],
        labIds: null,
        consortium: true,
        gpusPerJobMax: null,
        secondsPerJobMax: null,
        hoursUtc: null,
      },
    },
    busyGpus: busyGpus === 0 ? {} : { somebody: busyGpus },
  };
}

function waiting(jobId: string, owner: string, gpus: number, more: Partial<WaitingJob> = {}): WaitingJob {
  const request = {
    kind: 'train',
    owner,
    gpus,
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: 3_600,
  } as const;
  const times = { submittedMs: nowMs, retryAtMs: null };
  return { jobId, ...request, ...times, priority: 0, avoid: [], preemptible: true, ...more };
}

const snapshotOf = (clusters: readonly SnapshotCluster[], queue: readonly WaitingJob[]): Snapshot => ({
  clusters,
  waiting: queue,
  owners: entitlements(clusters, [], new Map(), owners),
});

function placeOf(clusters: readonly SnapshotCluster[], job: WaitingJob, seed = 1): string | undefined {
  return decide(snapshotOf(clusters, [job]), nowMs, seed).place[0]?.clusterId;
}

describe('a job that could start in several places', () => {
  it('starts where most of its inputs lie, of places that are equal otherwise', () => {
    const clusters = [cluster('b', 'lab-b', 4), cluster('c', 'lab-c', 4)];
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const at = (cachedBytes: Record<string, number>) =>
        placeOf(clusters, waiting('j', 'lab-a', 1, { cachedBytes }), seed);
      expect(at({ b: 10, c: 11 })).toBe('c');
      expect(at({ b: 10 })).toBe('b');
    }
  });

  it('starts at home all the same, and of several homes where most lies', () => {
    const far = cluster('b', 'lab-b', 4);
    const cachedBytes = { b: 500 * gib, home2: 1 };
    const job = waiting('j', 'lab-a', 1, { cachedBytes });
    expect(placeOf([far, cluster('home', 'lab-a', 4)], job)).toBe('home');
    expect(placeOf([far, cluster('home', 'lab-a', 4), cluster('home2', 'lab-a', 8)], job)).toBe('home2');
  });

  it('takes a worse fit for what takes long to fetch, and for nothing less', () => {
    const clusters = [
      cluster('tight', 'lab-b', 2),
      cluster('wide', 'lab-b', 4),
      cluster('widest', 'lab-c', 8),
    ];
    const at = (cachedBytes: Record<string, number>) =>
      placeOf(clusters, waiting('j', 'lab-a', 1, { cachedBytes }));
    expect(at({ wide: gib })).toBe('wide');
    expect(at({ wide: gib - 1 })).toBe('tight');
    expect(at({ wide: 2 * gib, tight: 1.5 * gib })).toBe('wide');
    expect(at({ wide: 1.9 * gib, tight: 1.1 * gib })).toBe('tight');
  });

  it('leaves the most that is free in one cluster to gangs', () => {
    const clusters = [cluster('tight', 'lab-b', 2), cluster('widest', 'lab-c', 8)];
    const job = waiting('j', 'lab-a', 1, { cachedBytes: { widest: 500 * gib } });
    expect(placeOf(clusters, job)).toBe('tight');
    expect(placeOf([...clusters, cluster('as-wide', 'lab-b', 8)], job)).toBe('widest');
  });
});

describe('where inputs lie', () => {
  const someClusters = fc.array(
    fc.record({
      lab: fc.constantFrom(...owners),
      gpus: fc.integer({ min: 1, max: 8 }),
      busy: fc.integer({ min: 0, max: 8 }),
    }),
    { minLength: 1, maxLength: 6 },
  );
  const clustersOf = (from: readonly { lab: string; gpus: number; busy: number }[]) =>
    from.map(({ lab, gpus, busy }, at) => cluster(`c${at}`, lab, gpus, Math.min(busy, gpus)));
  const someBytes = fc.dictionary(
    fc.constantFrom('c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'gone'),
    fc.integer({ min: 0, max: 5 * gib }),
  );
  const someJobs = fc.array(
    fc.record({ owner: fc.constantFrom(...owners), gpus: fc.integer({ min: 1, max: 8 }) }),
    { minLength: 1, maxLength: 8 },
  );
  const jobsOf = (from: readonly { owner: string; gpus: number }[]) =>
    from.map(({ owner, gpus }, at) => waiting(`j${at}`, owner, gpus));

  it('is of no account while nothing lies anywhere', () => {
    fc.assert(
      fc.property(someClusters, someJobs, fc.integer({ min: 0, max: 99 }), (from, jobs, seed) => {
        const plain = snapshotOf(clustersOf(from), jobsOf(jobs));
        const nothing = new Map(plain.waiting.map(({ jobId }) => [jobId, {}]));
        expect(decide(withCachedBytes(plain, nothing), nowMs, seed)).toEqual(decide(plain, nowMs, seed));
      }),
    );
  });

  it('decides neither whether a job starts nor whether at home, and takes no room from a gang', () => {
    fc.assert(
      fc.property(someClusters, someJobs, someBytes, (from, [first], cachedBytes) => {
        const clusters = clustersOf(from);
        const job = jobsOf([first as { owner: string; gpus: number }])[0] as WaitingJob;
        const [without, with_] = [placeOf(clusters, job), placeOf(clusters, { ...job, cachedBytes })];
        expect(with_ === undefined).toBe(without === undefined);
        if (with_ === undefined) return;
        const isHome = (id: string | undefined) =>
          clusters.find(({ clusterId }) => clusterId === id)?.labId === job.owner;
        expect(isHome(with_)).toBe(isHome(without));
        if (isHome(with_)) return;
        const mostLeft = (placed: string | undefined) =>
          Math.max(
            ...clusters.map(
              ({ clusterId, capacity, busyGpus }) =>
                (capacity?.gpus ?? 0) - (busyGpus['somebody'] ?? 0) - (clusterId === placed ? job.gpus : 0),
            ),
          );
        expect(mostLeft(with_)).toBeGreaterThanOrEqual(mostLeft(without));
      }),
      { numRuns: 500 },
    );
  });

  it('never gives out more than is free, whatever agents say', () => {
    fc.assert(
      fc.property(someClusters, someJobs, someBytes, (from, jobs, cachedBytes) => {
        const clusters = clustersOf(from);
        const queue = jobsOf(jobs).map((job) => ({ ...job, cachedBytes }));
        const { place } = decide(snapshotOf(clusters, queue), nowMs, 1);
        for (const { clusterId, capacity, busyGpus } of clusters) {
          const here = place.filter((placed) => placed.clusterId === clusterId);
          const gpus = here.reduce(
            (sum, { jobId }) => sum + (queue.find((job) => job.jobId === jobId)?.gpus ?? 0),
            busyGpus['somebody'] ?? 0,
          );
          expect(gpus).toBeLessThanOrEqual(capacity?.gpus ?? 0);
        }
      }),
    );
  });
});

describe('looking up where inputs lie', () => {
  const two = [cluster('b', 'lab-b', 400), cluster('c', 'lab-c', 400)];
  const queue = Array.from({ length: 300 }, (_, at) => waiting(`j${at}`, 'lab-a', 1));

  it('is for jobs that start, bounded, and only where there is a choice and something kept', () => {
    const { place } = decide(snapshotOf(two, queue), nowMs, 1);
    expect(place).toHaveLength(300);
    expect(startsToLookUp(snapshotOf(two, queue), place)).toHaveLength(256);
    expect(startsToLookUp(snapshotOf([cluster('b', 'lab-b', 400)], queue), place)).toEqual([]);
    const { keepsInputs: _, ...bare } = cluster('b', 'lab-b', 400);
    expect(startsToLookUp(snapshotOf([bare, { ...bare, clusterId: 'c' }], queue), place)).toEqual([]);
  });

  it('has it decided again only where more lies elsewhere', () => {
    const place = [{ jobId: 'j', clusterId: 'b' }];
    expect(liesElsewhere(place, new Map())).toBe(false);
    expect(liesElsewhere(place, new Map([['j', { b: 5, c: 5 }]]))).toBe(false);
    expect(liesElsewhere(place, new Map([['j', { b: 5, c: 6 }]]))).toBe(true);
  });
});

describe('bytes in words', () => {
  it('are in the largest unit of which there is one', () => {
    expect([0, 999, 1_200, 1_234_567_890, 5e15].map(wordsOfBytes)).toEqual([
      '0 bytes',
      '999 bytes',
      '1.2 kB',
      '1.2 GB',
      '5.0 PB',
    ]);
  });
});
