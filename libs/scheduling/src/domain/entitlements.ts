import { consortium, type Owner, type OwnerUse, type SnapshotCluster } from './snapshot.js';

/** GPU-seconds promised in a round are spread over this long: the usual time between two rounds. */
export const pledgeHorizonSeconds = 30 * 24 * 3_600;
/** A lab without a cluster still gets a turn when nobody else wants one. */
export const leastEntitledGpus = 0.05;

export interface Pledge {
  readonly labId: string;
  readonly gpuSeconds: number;
}

/**
 * Who may count on how many GPUs. A lab brings the GPUs of its clusters; what it pledged to rounds goes to the
 * consortium's share, on which adopted suites run, and the rest stays its own.
 */
export function entitlements(
  clusters: readonly SnapshotCluster[],
  pledges: readonly Pledge[],
  recentGpuSeconds: ReadonlyMap<Owner, number>,
  others: Iterable<Owner> = [],
  creditGpuSeconds: ReadonlyMap<Owner, number> = new Map(),
): OwnerUse[] {
  const share = (owner: Owner, gpus: number): OwnerUse => ({
    owner,
    entitledGpus: Math.max(gpus, leastEntitledGpus),
    recentGpuSeconds: recentGpuSeconds.get(owner) ?? 0,
    creditGpuSeconds: creditGpuSeconds.get(owner) ?? 0,
  });
  const brought = new Map<Owner, number>();
  for (const owner of others) if (owner !== consortium) brought.set(owner, 0);
  for (const cluster of clusters) {
    if (cluster.state === 'retired') continue;
    brought.set(cluster.labId, (brought.get(cluster.labId) ?? 0) + (cluster.capacity?.gpus ?? 0));
  }
  let pledgedGpus = 0;
  const shares: OwnerUse[] = [];
  for (const [labId, gpus] of brought) {
    const promised = pledges.filter((p) => p.labId === labId).reduce((sum, p) => sum + p.gpuSeconds, 0);
    const given = Math.min(gpus, promised / pledgeHorizonSeconds);
    pledgedGpus += given;
    shares.push(share(labId, gpus - given));
  }
  shares.push(share(consortium, pledgedGpus));
  return shares.sort((a, b) => (a.owner < b.owner ? -1 : 1));
}
