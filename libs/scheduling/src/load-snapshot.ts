import type { ClusterInventory, ClusterPolicy } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import { liveStates } from './domain/attempt-lifecycle.js';
import type { ClusterState } from './domain/cluster-lifecycle.js';
import { entitlements } from './domain/entitlements.js';
import { decayed } from './domain/gpu-seconds.js';
import type { Snapshot, SnapshotCluster, WaitingJob } from './domain/snapshot.js';
import { loadWaiting, type ShapeCursors } from './load-waiting.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

export async function loadClusters(tx: Tx): Promise<SnapshotCluster[]> {
  const clusters = await readClusters(tx);
  const busy = await tx.rows<{ cluster_id: string; owner: string; gpus: string }>(
    `SELECT cluster_id, owner, sum(gpus) AS gpus FROM scheduling.attempt WHERE state IN (${live})
     GROUP BY cluster_id, owner`,
  );
  const busyOf = new Map<string, Record<string, number>>();
  for (const { cluster_id, owner, gpus } of busy) {
    busyOf.set(cluster_id, { ...busyOf.get(cluster_id), [owner]: Number(gpus) });
  }
  return clusters.map((cluster) => ({ ...cluster, busyGpus: busyOf.get(cluster.clusterId) ?? {} }));
}

/** The clusters as they are built, with nothing on them. */
export async function readClusters(tx: Tx): Promise<SnapshotCluster[]> {
  const rows = await tx.rows<{
    id: string;
    name: string;
    lab_id: string;
    state: ClusterState;
    inventory: ClusterInventory | null;
    policy: ClusterPolicy | null;
  }>('SELECT id, name, lab_id, state, inventory, policy FROM scheduling.cluster ORDER BY id');
  return rows.map((row) => ({
    clusterId: row.id,
    name: row.name,
    labId: row.lab_id,
    state: row.state,
    capacity:
      row.inventory === null || row.policy === null
        ? null
        : {
            gpus: row.inventory.gpus,
            gpuType: row.inventory.gpuType,
            gpuMemoryMiB: row.inventory.gpuMemoryMiB,
            policy: row.policy,
          },
    busyGpus: {},
  }));
}

/**
 * Everything that a decision depends on, read in one transaction, with the database's clock. Of the waiting jobs only
 * those that it can depend on, see `loadWaiting`, and the one that is asked for.
 */
export async function loadSnapshot(
  tx: Tx,
  options: { readonly asked?: string; readonly cursors?: ShapeCursors } = {},
): Promise<{ snapshot: Snapshot; nowMs: number }> {
  const clusters = await loadClusters(tx);
  const heads = await loadWaiting(tx, clusters, options);
  const declines = await tx.rows<{ job_id: string; cluster_id: string }>(
    'SELECT job_id, cluster_id FROM scheduling.decline WHERE until > now() AND job_id = ANY ($1)',
    [heads.map((job) => job.jobId)],
  );
  const pledges = await tx.rows<{ lab_id: string; gpu_seconds: string }>(
    'SELECT lab_id, gpu_seconds FROM scheduling.pledge',
  );
  const used = await tx.rows<{ owner: string; gpu_seconds: number; as_of: Date }>(
    'SELECT owner, gpu_seconds, as_of FROM scheduling.owner_usage',
  );
  const clock = await tx.row<{ now: Date }>('SELECT clock_timestamp() AS now');
  const nowMs = clock?.now.getTime() ?? 0;
  const recent = new Map(
    used.map((u) => [u.owner, decayed(u.gpu_seconds, nowMs - u.as_of.getTime())] as const),
  );
  const avoid = new Map<string, string[]>();
  for (const { job_id, cluster_id } of declines)
    avoid.set(job_id, [...(avoid.get(job_id) ?? []), cluster_id]);
  const waiting: WaitingJob[] = heads.map((job) => ({ ...job, avoid: avoid.get(job.jobId) ?? [] }));
  const owners = entitlements(
    clusters,
    pledges.map((p) => ({ labId: p.lab_id, gpuSeconds: Number(p.gpu_seconds) })),
    recent,
    [...waiting.map((job) => job.owner), ...recent.keys()],
  );
  return { snapshot: { clusters, waiting, owners }, nowMs };
}
