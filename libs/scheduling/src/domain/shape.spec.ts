import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeForEver } from './judge-cluster.js';
import { gpusOfShape, headsLeast, headsOf, markedShape, markOf, shapeOf, shareOfShape } from './shape.js';
import type { JobKind, SnapshotCluster } from './snapshot.js';

const kinds: JobKind[] = ['train', 'serve', 'infer', 'capture', 'evaluate'];
const request = fc.record({
  kind: fc.constantFrom(...kinds),
  gpus: fc.integer({ min: 1, max: 6 }),
  gpuType: fc.constantFrom(null, 'a100', 'h100'),
  gpuMemoryMiB: fc.constantFrom(null, 40_000, 80_000),
  maxSeconds: fc.integer({ min: 1, max: 31_536_000 }),
});
const cluster = fc
  .record({
    gpus: fc.integer({ min: 1, max: 6 }),
    gpuType: fc.constantFrom('a100', 'h100'),
    gpuMemoryMiB: fc.constantFrom(null, 40_000, 80_000),
    kinds: fc.subarray(kinds),
    gpusPerJobMax: fc.constantFrom(null, 2),
  })
  .map(
    ({ kinds: taken, gpusPerJobMax, ...capacity }): SnapshotCluster => ({
      clusterId: 'clu_a',
      name: 'a',
      labId: 'lab_a',
      state: 'active',
      busyGpus: {},
      capacity: {
        ...capacity,
        policy: {
          kinds: taken,
          labIds: null,
          consortium: true,
          gpusPerJobMax,
          secondsPerJobMax: null,
          hoursUtc: null,
        },
      },
    }),
  );

describe('jobs of one shape and owner', () => {
  it('ask for as many GPUs as their shape says', () => {
    fc.assert(
      fc.property(request, fc.nat(), (job, secondsUsed) => {
        expect(gpusOfShape(shapeOf(job, secondsUsed))).toBe(job.gpus);
      }),
    );
  });

  it('are judged alike by every cluster without a bound on time', () => {
    fc.assert(
      fc.property(request, request, cluster, (a, b, where) => {
        fc.pre(shapeOf(a) === shapeOf({ ...b, ...a, maxSeconds: b.maxSeconds }));
        const alike = { ...a, maxSeconds: b.maxSeconds };
        const judged = [a, alike].map((job) => judgeForEver(where, { ...job, owner: 'lab_a' }).fits);
        expect(judged[0]).toBe(judged[1]);
      }),
    );
  });

  it('ask for the same part of a GPU, which the shape tells whatever else people write', () => {
    const shares = fc.integer({ min: 10, max: 100 }).map((hundredths) => hundredths * 10);
    fc.assert(
      fc.property(request, shares, fc.integer({ min: 0, max: 10_000_000 }), (job, gpuShareMilli, used) => {
        const odd = { ...job, gpuType: 'x/milli 10', gpus: 1 };
        expect(shareOfShape(shapeOf({ ...odd, gpuShareMilli }, used))).toBe(gpuShareMilli);
        expect(shareOfShape(shapeOf(odd, used))).toBe(1_000);
        expect(shapeOf({ ...odd, gpuShareMilli: 1_000 }, used)).toBe(shapeOf(odd, used));
      }),
    );
  });

  it('differ in their time bound by less than a fifth, so that a policy hides few', () => {
    fc.assert(
      fc.property(request, fc.integer({ min: 1, max: 31_536_000 }), (job, maxSeconds) => {
        fc.pre(shapeOf(job) === shapeOf({ ...job, maxSeconds }));
        const [less, more] = [job.maxSeconds, maxSeconds].sort((a, b) => a - b) as [number, number];
        expect(more / less).toBeLessThan(1.2);
      }),
    );
  });

  it('are seen as many at a time as could start with what is free, and never fewer than a few', () => {
    const shape = { owner: 'lab_a', shape: 'x', gpus: 4 };
    expect(headsOf([shape], 0)).toEqual([headsLeast]);
    expect(headsOf([shape], 40)).toEqual([headsLeast + 10]);
    expect(headsOf([{ ...shape, gpus: 1 }], 1_000_000)).toEqual([1_000]);
    const many = Array.from({ length: 4_000 }, () => ({ ...shape, gpus: 1 }));
    expect(headsOf(many, 1_000_000).reduce((sum, heads) => sum + heads, 0)).toBe(4_000 * headsLeast);
    // Where there is no room for any of them, each of many still has one seen, and each of a few as many as otherwise.
    expect(new Set(headsOf(many, 100, 0))).toEqual(new Set([1]));
    expect(headsOf([shape, { ...shape, gpus: 8 }], 12, 6)).toEqual([headsLeast + 3, headsLeast]);
    // Of parts as many as free and shared GPUs have room for.
    const part = { owner: 'lab_a', shape: 'serve/1///40/milli 250', gpus: 1 };
    expect(headsOf([part], 2, 2, 500)).toEqual([headsLeast + 10]);
    expect(headsOf([part, ...many], 0, 0, 200)[0]).toBe(1);
  });
});

describe('a shape that is marked with quotas of GPUs', () => {
  const keys = fc.subarray(['lab/lab_a', 'person/per_a', 'project/sui_a', 'project/stu_a']);
  // People may write anything as a type of GPU, also what looks like a mark.
  const odd = fc.oneof(
    fc.constantFrom('x under lab/lab_a', ' under ', 'a under person/p+lab/b', 'under'),
    fc.string({ minLength: 1, maxLength: 60 }),
  );

  it('is the same shape for other quotas, and names those that it was marked with last', () => {
    fc.assert(
      fc.property(request, odd, keys, keys, (job, gpuType, first, second) => {
        const shape = shapeOf({ ...job, gpuType });
        const marked = markedShape(markedShape(shape, first), second);
        expect(markOf(marked)).toEqual({ bare: shape, quotaKeys: [...second].sort() });
        expect(markedShape(marked, [])).toBe(shape);
        expect(gpusOfShape(marked)).toBe(job.gpus);
        expect(shareOfShape(marked)).toBe(shareOfShape(shape));
      }),
    );
  });

  it('has as many first jobs read as could start under its quotas, and one at least', () => {
    const shape = { owner: 'lab_a', shape: 'x', gpus: 2 };
    expect(headsOf([{ ...shape, roomGpus: 4 }], 1_000)).toEqual([headsLeast + 2]);
    expect(headsOf([{ ...shape, roomGpus: 1 }, shape], 1_000)).toEqual([headsLeast, headsLeast + 500]);
    expect(headsOf([{ ...shape, roomGpus: -7 }], 1_000)).toEqual([headsLeast]);
  });
});
