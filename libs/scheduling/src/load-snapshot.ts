import type { ClusterInventory, ClusterPolicy } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import { liveStates } from './domain/attempt-lifecycle.js';
import type { ClusterState } from './domain/cluster-lifecycle.js';
import { entitlements } from './domain/entitlements.js';
import { decayed } from './domain/gpu-seconds.js';
import { liveUse } from './domain/live-use.js';
import type { RunningJob, Snapshot, SnapshotCluster, WaitingJob } from './domain/snapshot.js';
import { type CapacityTrust, fullTrust, trustedGpus } from './domain/trusted-capacity.js';
import { loadShadowsInView } from './load-shadows.js';
import { loadWaiting, type ShapeCursors } from './load-waiting.js';
import { canLeave, factsOf, msOf, type SnapshotColumns, snapshotColumns } from './snapshot-columns.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

interface RunningRow extends SnapshotColumns {
  cluster_id: string;
  job_id: string;
  number: number;
  state: string;
  leaving: boolean;
  since_ms: number;
}

export async function loadClusters(tx: Tx, nowMs: number): Promise<SnapshotCluster[]> {
  const clusters = await readClusters(tx);
  const attempts = await tx.rows<RunningRow>(
    `SELECT a.cluster_id, a.job_id, a.number, a.state, a.preempt_reason IS NOT NULL AS leaving,
       ${msOf('coalesce(a.running_at, a.offered_at)')} AS since_ms, ${snapshotColumns}
     FROM scheduling.attempt a JOIN scheduling.job j ON j.id = a.job_id
     LEFT JOIN scheduling.shadow s ON s.job_id = a.job_id
     WHERE a.state IN (${live}) ORDER BY a.job_id`,
  );
  const running = new Map<string, RunningJob[]>();
  for (const row of attempts) {
    const there = running.get(row.cluster_id);
    if (there === undefined) running.set(row.cluster_id, [runningOf(row, nowMs)]);
    else there.push(runningOf(row, nowMs));
  }
  return clusters.map((cluster) => {
    const here = running.get(cluster.clusterId) ?? [];
    const busyGpus: Record<string, number> = {};
    for (const { owner, gpus } of here) busyGpus[owner] = (busyGpus[owner] ?? 0) + gpus;
    return { ...cluster, busyGpus, running: here };
  });
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
    trust: CapacityTrust | null;
    now: Date;
  }>('SELECT id, name, lab_id, state, inventory, policy, trust, now() FROM scheduling.cluster ORDER BY id');
  return rows.map((row) => ({
    clusterId: row.id,
    name: row.name,
    labId: row.lab_id,
    state: row.state,
    capacity:
      row.inventory === null || row.policy === null
        ? null
        : {
            gpus: trustedGpus(row.inventory.gpus, row.trust ?? fullTrust, row.now.getTime()),
            gpuType: row.inventory.gpuType,
            gpuMemoryMiB: row.inventory.gpuMemoryMiB,
            policy: row.policy,
          },
    busyGpus: {},
  }));
}

function runningOf(row: RunningRow, nowMs: number): RunningJob {
  return {
    ...factsOf(row),
    jobId: row.job_id,
    attempt: row.number,
    startedMs: row.since_ms,
    // A runner that is asked to leave saves its state first: nothing of its work is lost.
    savedMs: nowMs,
    preemptible: canLeave(row) && row.state === 'running',
    leaving: row.leaving,
  };
}

/**
 * Everything that a decision depends on, read in one transaction, with the database's clock. Of the waiting jobs only
 * those that it can depend on, see `loadWaiting`, and the one that is asked for.
 */
export async function loadSnapshot(
  tx: Tx,
  options: { readonly asked?: string; readonly cursors?: ShapeCursors } = {},
): Promise<{ snapshot: Snapshot; nowMs: number }> {
  const clock = await tx.row<{ now: Date }>('SELECT clock_timestamp() AS now');
  const nowMs = clock?.now.getTime() ?? 0;
  const clusters = await loadClusters(tx, nowMs);
  const shadows = await loadShadowsInView(tx);
  const owed = shadows.filter(({ startedMs, totalMs }) => startedMs !== null && totalMs === null);
  const heads = await loadWaiting(tx, clusters, {
    cursors: options.cursors,
    also: [...owed.map(({ jobId }) => jobId), ...(options.asked === undefined ? [] : [options.asked])],
  });
  const declines = await tx.rows<{ job_id: string; cluster_id: string }>(
    'SELECT job_id, cluster_id FROM scheduling.decline WHERE until > now() AND job_id = ANY ($1)',
    [heads.map((job) => job.jobId)],
  );
  const avoid = new Map<string, string[]>();
  for (const { job_id, cluster_id } of declines)
    avoid.set(job_id, [...(avoid.get(job_id) ?? []), cluster_id]);
  const waiting: WaitingJob[] = heads.map((job) => ({ ...job, avoid: avoid.get(job.jobId) ?? [] }));
  const known = new Set(heads.map((job) => job.jobId));
  const loneShadows = shadows.filter(({ jobId, isRunning }) => !isRunning && !known.has(jobId));
  const pledges = await tx.rows<{ lab_id: string; gpu_seconds: string }>(
    'SELECT lab_id, gpu_seconds FROM scheduling.pledge',
  );
  const used = await tx.rows<{ owner: string; gpu_seconds: number; credit_gpu_seconds: number; as_of: Date }>(
    'SELECT owner, gpu_seconds, credit_gpu_seconds, as_of FROM scheduling.owner_usage',
  );
  const { recent, credit } = liveUse(clusters, nowMs);
  for (const row of used) {
    const elapsedMs = nowMs - row.as_of.getTime();
    recent.set(row.owner, (recent.get(row.owner) ?? 0) + decayed(row.gpu_seconds, elapsedMs));
    credit.set(row.owner, (credit.get(row.owner) ?? 0) + decayed(row.credit_gpu_seconds, elapsedMs));
  }
  const owners = entitlements(
    clusters,
    pledges.map((p) => ({ labId: p.lab_id, gpuSeconds: Number(p.gpu_seconds) })),
    recent,
    [...waiting.map((job) => job.owner), ...recent.keys()],
    credit,
  );
  return { snapshot: { clusters, waiting, owners, loneShadows }, nowMs };
}
