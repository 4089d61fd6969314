import { gpusCounted } from './gpu-share.js';
import { consortium, type Owner, type SnapshotCluster } from './snapshot.js';

/**
 * GPU-seconds that running attempts have used by now, and what of it is lent and borrowed: the books are written when
 * an attempt ends, but who borrows for a month must not look for a month as if they did not.
 */
export function liveUse(
  clusters: readonly SnapshotCluster[],
  nowMs: number,
): { recent: Map<Owner, number>; credit: Map<Owner, number> } {
  const recent = new Map<Owner, number>();
  const credit = new Map<Owner, number>();
  const add = (to: Map<Owner, number>, owner: Owner, gpuSeconds: number): void => {
    to.set(owner, (to.get(owner) ?? 0) + gpuSeconds);
  };
  for (const { labId, running } of clusters) {
    for (const job of running ?? []) {
      const { owner, startedMs } = job;
      const gpuSeconds = (gpusCounted(job) * Math.max(0, nowMs - startedMs)) / 1000;
      add(recent, owner, gpuSeconds);
      if (owner === consortium || owner === labId) continue;
      add(credit, owner, -gpuSeconds);
      add(credit, labId, gpuSeconds);
    }
  }
  return { recent, credit };
}
