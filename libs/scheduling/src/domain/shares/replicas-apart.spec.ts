import { describe, expect, it } from 'vitest';
import { decide } from '../decide.js';
import { entitlements } from '../entitlements.js';
import type { RunningJob, Snapshot, SnapshotCluster, WaitingJob } from '../snapshot.js';

const nowMs = 1_800_000_000_000;
const request = {
  kind: 'serve' as const,
  ...{ owner: 'lab-a', gpus: 1, gpuType: null, gpuMemoryMiB: null, maxSeconds: 86_400 },
};

function replica(jobId: string, replicaOf: string, more: Partial<WaitingJob> = {}): WaitingJob {
  return {
    jobId,
    replicaOf,
    ...request,
    priority: 0,
    submittedMs: nowMs,
    retryAtMs: null,
    avoid: [],
    ...more,
  };
}
function running(jobId: string, replicaOf: string): RunningJob {
  return { jobId, replicaOf, ...request, attempt: 1, submittedMs: nowMs - 1_000, startedMs: nowMs - 1_000 };
}

function snapshotOf(
  clusters: Readonly<Record<string, { gpus: number; labId?: string; parts?: number; on?: RunningJob[] }>>,
  waiting: WaitingJob[],
): Snapshot {
  const built = Object.entries(clusters).map(
    ([name, { gpus, labId = `of-${name}`, parts = 1, on = [] }]): SnapshotCluster => ({
      ...{ clusterId: name, name, labId, state: 'active' },
      capacity: {
        ...{ gpus, gpuType: 'h100', gpuMemoryMiB: null },
        policy: {
          ...{ kinds: ['serve'], labIds: null, consortium: true },
          ...{ gpusPerJobMax: null, secondsPerJobMax: null, hoursUtc: null, gpuParts: parts },
        },
      },
      busyGpus: on.length === 0 ? {} : { 'lab-a': on.length },
      running: on,
    }),
  );
  return { clusters: built, waiting, owners: entitlements(built, [], new Map(), ['lab-a']) };
}

const placed = (snapshot: Snapshot) =>
  Object.fromEntries(decide(snapshot, nowMs, 1).place.map(({ jobId, clusterId }) => [jobId, clusterId]));

describe('replicas of a model', () => {
  it('start in different clusters, also away from home, and also in one decision', () => {
    const snapshot = snapshotOf({ home: { gpus: 4, labId: 'lab-a' }, away: { gpus: 4 } }, [
      replica('one', 'm'),
      replica('two', 'm'),
      replica('other', 'n'),
    ]);
    expect(placed(snapshot)).toEqual({ one: 'home', two: 'away', other: 'home' });
  });

  it('keep apart from those that run, and share a cluster where there is no other', () => {
    const on = [running('one', 'm')];
    expect(placed(snapshotOf({ a: { gpus: 3, on }, b: { gpus: 8 } }, [replica('two', 'm')]))).toEqual({
      two: 'b',
    });
    expect(placed(snapshotOf({ a: { gpus: 3, on } }, [replica('two', 'm')]))).toEqual({ two: 'a' });
    const declined = replica('two', 'm', { avoid: ['b'] });
    expect(placed(snapshotOf({ a: { gpus: 3, on }, b: { gpus: 8 } }, [declined]))).toEqual({ two: 'a' });
  });

  it('do so with parts of GPUs, too', () => {
    const part = { gpuShareMilli: 500 };
    const snapshot = snapshotOf({ a: { gpus: 1, parts: 2 }, b: { gpus: 2, parts: 2 } }, [
      replica('one', 'm', part),
      replica('two', 'm', part),
    ]);
    expect(new Set(Object.values(placed(snapshot)))).toEqual(new Set(['a', 'b']));
  });
});
