import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../decide.js';
import type { Snapshot, SnapshotNode, WaitingJob } from '../snapshot.js';
import { Fragmentation } from './fragmentation.js';
import { fits, occupy } from './node-fit.js';
import type { PackingScore } from './scores.js';
import { type Ask, commonAsks } from './workload.js';

const scores: PackingScore[] = [
  'random',
  'dot-product',
  'clustering',
  'packing',
  'best-fit',
  'fgd',
  'beamtime',
];

const asks: Ask[] = [
  { cpuMilli: 4000, gpus: 1, gpuShareMilli: 500, gpuTypes: [], share: 0.5 },
  { cpuMilli: 8000, gpus: 1, gpuShareMilli: 1000, gpuTypes: [], share: 0.3 },
  { cpuMilli: 4000, gpus: 0, gpuShareMilli: 0, gpuTypes: [], share: 0.2 },
];

function node(nodeId: string, cpuMilli: number, freeGpuMilli: number[], gpuType = 'T4'): SnapshotNode {
  return { nodeId, gpuType, freeGpuMilli, freeCpuMilli: cpuMilli, freeMemoryMiB: 1000, guestsGpuMilli: [] };
}

function job(jobId: string, ask: Partial<WaitingJob>): WaitingJob {
  return {
    jobId,
    kind: 'train',
    owner: 'lab',
    gpus: 1,
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: 1,
    priority: 0,
    submittedMs: 0,
    retryAtMs: null,
    avoid: [],
    ...ask,
  };
}

function world(nodes: SnapshotNode[], waiting: WaitingJob[]): Snapshot {
  const cluster = { clusterId: 'c', name: 'c', labId: 'lab', state: 'active', capacity: null } as const;
  return { clusters: [{ ...cluster, busyGpus: {}, nodes }], waiting, owners: [] };
}

function pack(score: PackingScore, nodes: SnapshotNode[], waiting: WaitingJob[], seed = 1) {
  return decide(world(nodes, waiting), 0, seed, { kind: 'packing', score, workload: asks }).place;
}

describe('packing on nodes', () => {
  it('keeps a GPU whole for whole jobs when a used one takes a shared job', () => {
    const nodes = [node('idle', 64_000, [1000, 1000]), node('used', 64_000, [1000, 500])];
    const [placed] = pack('beamtime', nodes, [job('j', { gpuShareMilli: 500, cpuMilli: 4000 })]);
    expect(placed?.nodes).toEqual([{ nodeId: 'used', gpus: [1], gpuShareMilli: 500 }]);
  });

  it('sends work without GPUs where the CPU would be left over, not where GPUs need it', () => {
    const nodes = [node('tight', 16_000, [1000, 1000]), node('rich', 96_000, [1000, 1000])];
    const [placed] = pack('beamtime', nodes, [job('j', { gpus: 0, cpuMilli: 8000 })]);
    expect(placed?.nodes?.[0]?.nodeId).toBe('rich');
  });

  it('asks for the type of GPU that the job wants', () => {
    const nodes = [node('a', 64_000, [1000], 'T4'), node('b', 64_000, [1000], 'A10')];
    for (const score of scores)
      expect(pack(score, nodes, [job('j', { gpuTypes: ['A10', 'V100'] })])[0]?.nodes?.[0]?.nodeId).toBe('b');
    expect(pack('fgd', nodes, [job('j', { gpuType: 'H100' })])).toEqual([]);
  });

  const share = fc.constantFrom(0, 100, 190, 300, 500, 810, 1000);
  const nodes = fc
    .array(fc.tuple(fc.integer({ min: 0, max: 32 }), fc.array(share, { maxLength: 8 })), {
      minLength: 1,
      maxLength: 8,
    })
    .map((list) => list.map(([cpu, gpus], at) => node(`n${at}`, cpu * 1000, gpus)));
  const jobs = fc
    .array(
      fc.tuple(
        fc.integer({ min: 0, max: 4 }),
        fc.constantFrom(100, 300, 500, 810, 1000),
        fc.integer({ min: 0, max: 16 }),
        fc.integer({ min: 0, max: 400 }),
      ),
      { maxLength: 12 },
    )
    .map((list) =>
      list.map(([gpus, milli, cpu, memoryMiB], at) =>
        job(`j${at}`, {
          gpus,
          gpuShareMilli: gpus === 1 ? milli : 1000,
          cpuMilli: cpu * 1000,
          memoryMiB,
          submittedMs: at,
        }),
      ),
    );

  it.each(scores)('%s never gives more than a node has, and leaves nobody out who fits', (score) => {
    fc.assert(
      fc.property(nodes, jobs, fc.integer({ min: 0, max: 1000 }), (before, waiting, seed) => {
        const placed = new Map(pack(score, before, waiting, seed).map((spot) => [spot.jobId, spot]));
        const now = new Map(before.map((one) => [one.nodeId, one]));
        for (const one of waiting) {
          const spot = placed.get(one.jobId)?.nodes?.[0];
          if (spot === undefined) {
            expect([...now.values()].some((free) => fits(free, one))).toBe(false);
            continue;
          }
          const host = now.get(spot.nodeId) as SnapshotNode;
          expect(new Set(spot.gpus).size).toBe(one.gpus);
          const after = occupy(host, one, spot.gpus);
          expect(
            Math.min(...after.freeGpuMilli, after.freeCpuMilli, after.freeMemoryMiB),
          ).toBeGreaterThanOrEqual(0);
          now.set(spot.nodeId, after);
        }
        expect(pack(score, before, waiting, seed)).toEqual([...placed.values()]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('fragmentation', () => {
  const fragmentation = new Fragmentation(asks);

  it('counts what the jobs of the workload cannot use', () => {
    // Half the jobs use both GPUs, three in ten only the whole one, two in ten none of it.
    expect(fragmentation.expectedMilli(64_000, [1000, 600], 'T4')).toBeCloseTo(0.3 * 600 + 0.2 * 1600);
    expect(fragmentation.expectedMilli(2000, [1000, 600], 'T4')).toBeCloseTo(1600);
    expect(fragmentation.expectedMilli(64_000, [], null)).toBe(0);
  });

  it('sees a GPU stranded before the CPU is gone', () => {
    // (0.5 · 4 + 0.3 · 8) CPUs to (0.5 · 0.5 + 0.3) GPUs: 8 CPUs to a GPU.
    expect(fragmentation.strandedMilli(8000, [1000, 1000])).toBeCloseTo(1000);
    expect(fragmentation.strandedMilli(16_000, [1000, 1000])).toBe(0);
  });

  it('takes the commonest kinds that make up 95 % of a workload', () => {
    const rare = { cpuMilli: 1, gpus: 8, gpuShareMilli: 1000, gpuTypes: [] };
    const common = { cpuMilli: 2, gpus: 1, gpuShareMilli: 500, gpuTypes: [] };
    const kept = commonAsks([...Array.from({ length: 99 }, () => common), rare]);
    expect(kept).toEqual([{ ...common, share: 1 }]);
  });
});
