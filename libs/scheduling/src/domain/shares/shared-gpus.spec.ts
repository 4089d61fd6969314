import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../decide.js';
import { entitlements } from '../entitlements.js';
import { explainWaiting } from '../explain-waiting.js';
import { gpuSecondsBound, gpuSecondsOf } from '../gpu-seconds.js';
import { gpusCounted, leastShareMilli } from '../gpu-share.js';
import { whyNever } from '../judge-cluster.js';
import type { RunningJob, Snapshot, SnapshotCluster, SnapshotShadow, WaitingJob } from '../snapshot.js';

const hourMs = 3_600_000;
const nowMs = 1_800_000_000_000;

interface Made {
  readonly gpus?: number;
  readonly share?: number;
  readonly slot?: number;
  readonly owner?: string;
  readonly maxSeconds?: number;
}

function request({ gpus = 1, share, owner = 'lab-b', maxSeconds = 3_600 }: Made) {
  const kind = share === undefined ? ('train' as const) : ('serve' as const);
  return {
    ...{ kind, owner, gpus, gpuType: null, gpuMemoryMiB: null, maxSeconds },
    ...(share === undefined ? {} : { gpuShareMilli: share }),
  };
}

function running(jobId: string, made: Made, more: Partial<RunningJob> = {}): RunningJob {
  const startedMs = nowMs - 2 * hourMs;
  return {
    ...{ jobId, attempt: 1, submittedMs: startedMs, startedMs, savedMs: nowMs, preemptible: true },
    ...request({ maxSeconds: 36_000, ...made }),
    ...(made.slot === undefined ? {} : { gpuSlot: made.slot }),
    ...more,
  };
}

function waiting(jobId: string, made: Made, more: Partial<WaitingJob> = {}): WaitingJob {
  const state = { priority: 0, submittedMs: nowMs, retryAtMs: null, avoid: [], preemptible: true };
  return { jobId, ...request(made), ...state, ...more };
}

interface Place {
  readonly gpus: number;
  readonly parts?: number;
  readonly labId?: string;
  readonly memoryMiB?: number;
  readonly on?: readonly RunningJob[];
}

function clusterOf(name: string, place: Place): SnapshotCluster {
  const { gpus, parts, labId = `lab-of-${name}`, memoryMiB = null, on = [] } = place;
  const busyGpus: Record<string, number> = {};
  for (const job of on) busyGpus[job.owner] = (busyGpus[job.owner] ?? 0) + gpusCounted(job);
  const policy = {
    kinds: ['train', 'serve'] as const,
    labIds: null,
    consortium: true,
    gpusPerJobMax: null,
    secondsPerJobMax: null,
    hoursUtc: null,
    ...(parts === undefined ? {} : { gpuParts: parts }),
  };
  const capacity = { gpus, gpuType: 'h100', gpuMemoryMiB: memoryMiB, policy };
  return { clusterId: name, name, labId, state: 'active', capacity, busyGpus, running: on };
}

function snapshotOf(places: Readonly<Record<string, Place>>, queue: readonly WaitingJob[]): Snapshot {
  const clusters = Object.entries(places).map(([name, place]) => clusterOf(name, place));
  const owners = entitlements(clusters, [], new Map(), ['lab-a', 'lab-b', 'lab-c']);
  return { clusters, waiting: queue, owners };
}

const placed = (snapshot: Snapshot) =>
  Object.fromEntries(
    decide(snapshot, nowMs, 1).place.map(({ jobId, clusterId, gpuSlot }) => [jobId, [clusterId, gpuSlot]]),
  );

describe('a job that wants a part of a GPU', () => {
  it('goes onto a GPU that is shared already, and the gang gets the whole ones', () => {
    const snapshot = snapshotOf(
      { a: { gpus: 3, parts: 4, on: [running('there', { share: 500, slot: 0 })] } },
      [waiting('part', { share: 500 }), waiting('gang', { gpus: 2, owner: 'lab-c' })],
    );
    expect(placed(snapshot)).toEqual({ part: ['a', 0], gang: ['a', undefined] });
  });

  it('goes where it leaves the least that nobody can use', () => {
    const on = [running('x', { share: 300, slot: 0 }), running('y', { share: 600, slot: 1 })];
    const queue = [waiting('part', { share: 400 }), waiting('larger', { share: 700, owner: 'lab-c' })];
    expect(placed(snapshotOf({ a: { gpus: 2, parts: 10, on } }, queue))).toEqual({
      part: ['a', 1],
      larger: ['a', 0],
    });
  });

  it('prefers a shared GPU elsewhere to a free one elsewhere, but a free one at home to both', () => {
    const places = {
      a: { gpus: 2, parts: 4 },
      b: { gpus: 2, parts: 4, on: [running('there', { share: 250, slot: 3 })] },
      home: { gpus: 1, parts: 4, labId: 'lab-c' },
    };
    expect(placed(snapshotOf(places, [waiting('part', { share: 500 })]))).toEqual({ part: ['b', 3] });
    expect(placed(snapshotOf(places, [waiting('own', { share: 500, owner: 'lab-c' })]))).toEqual({
      own: ['home', 0],
    });
  });

  it('opens the least number that is not in use', () => {
    const on = [running('x', { share: 900, slot: 1 }), running('y', { share: 900, slot: 0 })];
    expect(placed(snapshotOf({ a: { gpus: 3, parts: 10, on } }, [waiting('part', { share: 200 })]))).toEqual({
      part: ['a', 2],
    });
  });

  it('is told in words why it can never run, and what it waits for', () => {
    const whole = { gpus: 1, on: [running('x', {}, { preemptible: false })] };
    const part = waiting('part', { share: 250 });
    const says = (places: Readonly<Record<string, Place>>, job = part) =>
      whyNever(snapshotOf(places, []).clusters, job);
    expect(says({ a: whole })).toBe('a: its GPUs are not shared, the job wants 25 % of a GPU');
    expect(says({ a: { gpus: 1, parts: 3 } })).toBe(
      'a: its policy gives no less than 33 % of a GPU, the job wants 25 % of a GPU',
    );
    expect(says({ a: { gpus: 1, parts: 4, memoryMiB: 80_000 } }, { ...part, gpuMemoryMiB: 30_000 })).toBe(
      'a: 25 % of a GPU has 20000 MiB there, the job needs 30000 MiB',
    );
    expect(explainWaiting(snapshotOf({ a: whole }, [part]), nowMs, 1, 'part')).toMatchObject({
      code: 'unschedulable',
    });
    const full = snapshotOf({ a: { ...whole, parts: 4 }, b: { gpus: 1 } }, [part]);
    expect(explainWaiting(full, nowMs, 1, 'part')).toMatchObject({
      code: 'capacity',
      detail: 'No cluster that may run it has 25 % of a GPU left',
      clusters: [
        { says: 'no GPU is free, and no shared one has 25 % of a GPU left' },
        { says: 'its GPUs are not shared, the job wants 25 % of a GPU' },
      ],
    });
    const room = snapshotOf({ a: { gpus: 1, parts: 4, on: [running('x', { share: 500, slot: 0 })] } }, [
      part,
    ]);
    expect(explainWaiting(room, nowMs, 1, 'part')).toBeUndefined();
  });

  it('may ask a whole job of a worse level to leave, and several ask for no more than one GPU', () => {
    const on = [1, 2].map((n) => running(`long-${n}`, {}, { servedMs: 100 * hourMs }));
    const queue = [1, 2, 3].map((n) => waiting(`part-${n}`, { share: 300 }));
    const { place, preempt } = decide(snapshotOf({ a: { gpus: 2, parts: 10, on } }, queue), nowMs, 1);
    expect(place).toEqual([]);
    expect(preempt).toHaveLength(1);
  });

  it('has its place at home when it would be running there, and is itself never asked to leave', () => {
    const shadow: SnapshotShadow = { clusterId: null, startedMs: null, servedMs: 0 };
    const home = (on: readonly RunningJob[]) => ({ home: { gpus: 1, parts: 4, labId: 'lab-a', on } });
    const ours = { ...waiting('ours', { share: 500, owner: 'lab-a' }, { shadow }), kind: 'train' as const };
    const whole = decide(snapshotOf(home([running('guest', {})]), [ours]), nowMs, 1);
    expect(whole.preempt.map(({ jobId }) => jobId)).toEqual(['guest']);
    const sharers = [running('guest', { share: 800, slot: 0 }, { servedMs: 100 * hourMs })];
    expect(decide(snapshotOf(home(sharers), [ours]), nowMs, 1)).toMatchObject({ place: [], preempt: [] });
  });
});

describe('a gang', () => {
  it('gets a shared GPU back: those who come after its turn share it only if they end in time', () => {
    const on = [running('there', { share: 250, slot: 0 })];
    const since = { queuedMs: nowMs - hourMs, submittedMs: nowMs - hourMs };
    const gang = waiting('gang', { gpus: 2, owner: 'lab-c' }, { ...since, preemptible: false });
    const after = (maxSeconds: number) =>
      placed(
        snapshotOf({ a: { gpus: 2, parts: 4, on } }, [gang, waiting('part', { share: 250, maxSeconds })]),
      );
    expect(after(360_000)).toEqual({});
    expect(after(600)).toEqual({ part: ['a', 0] });
  });
});

describe('GPU-seconds of a part', () => {
  it('are that part, in whole numbers, rounded up', () => {
    expect(gpuSecondsOf(1, 10_000, 250)).toBe(3);
    expect(gpuSecondsOf(1, 1, 100)).toBe(1);
    expect(gpuSecondsOf(3, 1_500)).toBe(6);
    expect(gpuSecondsBound(1, 31_536_000, 330)).toBe(10_406_880);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 31_536_000 }),
        fc.integer({ min: 10, max: 100 }),
        (seconds, n) => {
          const exact = (BigInt(seconds) * BigInt(n) + 99n) / 100n;
          expect(gpuSecondsBound(1, seconds, n * 10)).toBe(Number(exact));
        },
      ),
    );
  });

  it('let as many jobs as a cluster says onto a GPU, and never one more', () => {
    for (let parts = 1; parts <= 10; parts++) {
      const least = leastShareMilli(parts);
      expect(least * parts).toBeLessThanOrEqual(1_000);
      expect(least * (parts + 1)).toBeGreaterThan(1_000);
    }
  });
});

const someShare = fc.integer({ min: 10, max: 99 }).map((hundredths) => hundredths * 10);

/** Clusters that share and clusters that do not, with a queue of parts and gangs, each step a decision that is carried out. */
const someWorld = fc.record({
  clusters: fc.array(
    fc.record({ gpus: fc.integer({ min: 1, max: 5 }), parts: fc.integer({ min: 1, max: 10 }) }),
    {
      minLength: 1,
      maxLength: 3,
    },
  ),
  steps: fc.array(
    fc.record({
      arrive: fc.array(fc.oneof(someShare, fc.integer({ min: 1, max: 4 })), { maxLength: 8 }),
      endEvery: fc.integer({ min: 2, max: 5 }),
    }),
    { minLength: 1, maxLength: 8 },
  ),
});

describe('decisions one after the other', () => {
  it('never give out more of a GPU than there is, nor share one where that is not wanted', () => {
    fc.assert(
      fc.property(someWorld, fc.nat(), ({ clusters, steps }, seed) => {
        const on = new Map<string, RunningJob[]>(clusters.map((_, n) => [`c${n}`, []]));
        let queue: WaitingJob[] = [];
        let jobs = 0;
        let at = nowMs;
        for (const { arrive, endEvery } of steps) {
          at += 600_000;
          for (const [name, there] of on)
            on.set(
              name,
              there.filter((_, n) => (n + seed) % endEvery !== 0),
            );
          queue.push(
            ...arrive.map((size) =>
              waiting(`j${jobs++}`, size < 10 ? { gpus: size } : { share: size }, { submittedMs: at }),
            ),
          );
          const places = Object.fromEntries(
            clusters.map(({ gpus, parts }, n) => [`c${n}`, { gpus, parts, on: on.get(`c${n}`) ?? [] }]),
          );
          const { place } = decide(snapshotOf(places, queue), at, seed);
          for (const { jobId, clusterId, gpuSlot } of place) {
            const job = queue.find((one) => one.jobId === jobId);
            if (job === undefined) throw new Error(`${jobId} does not wait`);
            expect(gpuSlot !== undefined).toBe((job.gpuShareMilli ?? 1_000) < 1_000);
            const { owner, gpus, gpuShareMilli } = job;
            on.get(clusterId)?.push(
              running(jobId, { owner, gpus, share: gpuShareMilli, slot: gpuSlot } as Made, {
                startedMs: at,
                preemptible: false,
              }),
            );
          }
          queue = queue.filter((job) => !place.some(({ jobId }) => jobId === job.jobId));
          for (const [n, { gpus, parts }] of clusters.entries()) {
            const there = on.get(`c${n}`) ?? [];
            const slots = new Map<number, number>();
            let whole = 0;
            for (const job of there) {
              if (job.gpuSlot === undefined) whole += job.gpus;
              else {
                slots.set(job.gpuSlot, (slots.get(job.gpuSlot) ?? 0) + (job.gpuShareMilli ?? 0));
                expect(job.gpuShareMilli).toBeGreaterThanOrEqual(leastShareMilli(parts));
              }
            }
            expect(whole + slots.size).toBeLessThanOrEqual(gpus);
            for (const held of slots.values()) expect(held).toBeLessThanOrEqual(1_000);
            if (parts === 1) expect(slots.size).toBe(0);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('are the same for whole GPUs whether clusters would share them or not', () => {
    const whole = fc.record({
      on: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 }),
      queue: fc.array(
        fc.record({ gpus: fc.integer({ min: 1, max: 6 }), lab: fc.constantFrom('lab-a', 'lab-b', 'lab-c') }),
        { maxLength: 12 },
      ),
    });
    fc.assert(
      fc.property(whole, fc.nat(), ({ on, queue }, seed) => {
        const jobs = queue.map(({ gpus, lab }, n) => waiting(`j${n}`, { gpus, owner: lab }));
        const world = (parts: Partial<Place>, explicit: boolean) =>
          snapshotOf(
            {
              a: { gpus: 6, ...parts, on: on.slice(0, 2).map((gpus, n) => running(`a${n}`, { gpus })) },
              b: { gpus: 6, ...parts, on: on.slice(2).map((gpus, n) => running(`b${n}`, { gpus })) },
            },
            explicit ? jobs.map((job) => ({ ...job, gpuShareMilli: 1_000 })) : jobs,
          );
        const plain = decide(world({}, false), nowMs, seed);
        expect(decide(world({ parts: 10 }, false), nowMs, seed)).toEqual(plain);
        expect(decide(world({ parts: 10 }, true), nowMs, seed)).toEqual(plain);
      }),
      { numRuns: 200 },
    );
  });
});
