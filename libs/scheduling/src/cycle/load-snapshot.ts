import { present } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { readClusters } from '../clusters/read-clusters.js';
import { liveStates } from '../domain/attempt-lifecycle.js';
import { entitlements } from '../domain/entitlements.js';
import { decayed } from '../domain/gpu-seconds.js';
import { gpusCounted } from '../domain/gpu-share.js';
import { liveUse } from '../domain/live-use.js';
import type { GpuQuota, LoneShadow, RunningJob, Snapshot, SnapshotCluster } from '../domain/snapshot.js';
import { canLeave, msOf, type SnapshotColumns, snapshotColumns } from '../postgres/snapshot-columns.js';
import { withUse } from '../quotas/gpus-in-use.js';
import { readNextShadows, readStartedShadows } from '../shadows/load-shadows.js';
import { BoundJobs, type QuotasOfJobs } from './bound-jobs.js';
import { loadWaiting, QueueMemory, waitingShapes } from './load-waiting.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

interface RunningRow extends SnapshotColumns {
  /** Those of the attempt. */
  held_gpus: number;
  cluster_id: string;
  job_id: string;
  number: number;
  gpu_slot: number | null;
  state: string;
  leaving: boolean;
  since_ms: number;
  shadowed: boolean;
  shadow_cluster_id: string | null;
  shadow_started_ms: number | null;
  shadow_served_ms: number | null;
}

async function readRunning(tx: Tx): Promise<RunningRow[]> {
  return tx.rows<RunningRow>(
    `SELECT a.cluster_id, a.job_id, a.number, a.gpus AS held_gpus, a.gpu_slot, a.state, a.preempt_reason IS NOT NULL AS leaving,
       ${msOf('coalesce(a.running_at, a.offered_at)')} AS since_ms, ${snapshotColumns},
       s.job_id IS NOT NULL AS shadowed, s.cluster_id AS shadow_cluster_id,
       ${msOf('s.started_at')} AS shadow_started_ms, s.served_ms::float8 AS shadow_served_ms
     FROM scheduling.attempt a JOIN scheduling.job j ON j.id = a.job_id
     LEFT JOIN scheduling.shadow s ON s.job_id = a.job_id
     WHERE a.state IN (${live}) ORDER BY a.job_id`,
  );
}

/** The clusters with what runs on them. */
function occupied(
  clusters: readonly SnapshotCluster[],
  attempts: readonly RunningRow[],
  quotasOf: QuotasOfJobs,
  nowMs: number,
): SnapshotCluster[] {
  const running = new Map<string, RunningJob[]>();
  for (const row of attempts) {
    const there = running.get(row.cluster_id);
    const job = runningOf(row, quotasOf.get(row.job_id), nowMs);
    if (there === undefined) running.set(row.cluster_id, [job]);
    else there.push(job);
  }
  return clusters.map((cluster) => {
    const here = running.get(cluster.clusterId) ?? [];
    const busyGpus: Record<string, number> = {};
    for (const job of here) busyGpus[job.owner] = (busyGpus[job.owner] ?? 0) + gpusCounted(job);
    return { ...cluster, busyGpus, running: here };
  });
}

/** Under which quotas of GPUs elastic jobs stand that could go on with more of them. */
function quotasOfSmall(
  tx: Tx,
  attempts: readonly RunningRow[],
  quotas: readonly GpuQuota[],
): Promise<QuotasOfJobs> {
  const small = attempts.filter(({ held_gpus, gpus }) => held_gpus < gpus);
  return new BoundJobs().quotasOf(
    tx,
    small.map(({ job_id }) => ({ id: job_id })),
    quotas,
  );
}

function runningOf(row: RunningRow, quotas: readonly string[] | undefined, nowMs: number): RunningJob {
  return {
    jobId: row.job_id,
    attempt: row.number,
    kind: row.kind,
    owner: row.owner,
    gpus: row.held_gpus,
    ...(row.gpus_min !== null && { gpusLeast: row.gpus_min, gpusMost: row.gpus }),
    gpuType: row.gpu_type,
    gpuMemoryMiB: row.gpu_memory_mib,
    maxSeconds: row.max_seconds,
    ...(row.gpu_slot !== null && { gpuShareMilli: row.gpu_share_milli, gpuSlot: row.gpu_slot }),
    priority: row.priority,
    submittedMs: row.submitted_ms,
    servedMs: row.seconds_used * 1000,
    startedMs: row.since_ms,
    // A runner that is asked to leave saves its state first: nothing of its work is lost.
    savedMs: nowMs,
    preemptible: canLeave(row) && row.state === 'running',
    leaving: row.leaving,
    ...(row.replica_of !== null && { replicaOf: row.replica_of }),
    ...(quotas !== undefined && { quotas }),
    ...(row.shadowed && {
      shadow: {
        clusterId: row.shadow_cluster_id,
        startedMs: row.shadow_started_ms,
        servedMs: row.shadow_served_ms ?? 0,
      },
    }),
  };
}

/**
 * Everything that a decision depends on, with the database's clock. Needs no transaction: what changes between its
 * statements could as well change right after them, and offers are compare-and-set. Of the waiting jobs only those that
 * it can depend on, see `loadWaiting`, and the one that is asked for. What does not depend on each other is asked for
 * together: a decision waits for the longest of these answers, not for each in turn.
 */
export async function loadSnapshot(
  tx: Tx,
  options: { readonly asked?: string; readonly memory?: QueueMemory } = {},
): Promise<{ snapshot: Snapshot; nowMs: number }> {
  const { memory = new QueueMemory() } = options;
  const [{ nowMs, pledges, used, gpuQuotas }, built, running, started, shapes] = await Promise.all([
    loadStandings(tx),
    readClusters(tx),
    readRunning(tx),
    readStartedShadows(tx),
    waitingShapes(tx, memory.cursors),
  ]);
  const quotas = gpuQuotas.length === 0 ? [] : await withUse(tx, gpuQuotas);
  const clusters = occupied(built, running, await quotasOfSmall(tx, running, quotas), nowMs);
  const owed = started.filter(({ totalMs }) => totalMs === null);
  const [next, heads] = await Promise.all([
    readNextShadows(tx, clusters, started, nowMs),
    loadWaiting(tx, clusters, {
      memory,
      shapes,
      quotas,
      also: [...owed.map(({ jobId }) => jobId), ...(options.asked === undefined ? [] : [options.asked])],
    }),
  ]);
  const shadows = [...started, ...next];
  const declines = await tx.rows<{ job_id: string; cluster_id: string }>(
    'SELECT job_id, cluster_id FROM scheduling.decline WHERE until > now() AND job_id = ANY ($1)',
    [heads.map((job) => job.jobId)],
  );
  const headOf = new Map(heads.map((head) => [head.jobId, head]));
  for (const { job_id, cluster_id } of declines) headOf.get(job_id)?.avoid.push(cluster_id);
  const lone: LoneShadow[] = [];
  for (const shadow of shadows) {
    const head = headOf.get(shadow.jobId);
    if (head !== undefined) head.shadow = shadow;
    else if (!shadow.isRunning) lone.push(shadow);
  }
  const loneShadows = await underQuotas(tx, lone, quotas, memory);
  const { recent, credit } = liveUse(clusters, nowMs);
  for (const row of used) {
    const elapsedMs = nowMs - row.as_of_ms;
    recent.set(row.owner, (recent.get(row.owner) ?? 0) + decayed(row.gpu_seconds, elapsedMs));
    credit.set(row.owner, (credit.get(row.owner) ?? 0) + decayed(row.credit_gpu_seconds, elapsedMs));
  }
  const owners = entitlements(
    clusters,
    pledges,
    recent,
    [...new Set(heads.map((job) => job.owner)), ...recent.keys()],
    credit,
  );
  const snapshot = { clusters, waiting: heads, owners, loneShadows };
  return { snapshot: quotas.length === 0 ? snapshot : { ...snapshot, quotas }, nowMs };
}

/** The shadows with the quotas of GPUs under which their jobs wait. */
async function underQuotas(
  tx: Tx,
  shadows: readonly LoneShadow[],
  quotas: readonly GpuQuota[],
  memory: QueueMemory,
): Promise<readonly LoneShadow[]> {
  if (quotas.length === 0) return shadows;
  const waiting = shadows.filter(({ startedMs, totalMs }) => startedMs === null && totalMs === null);
  const quotasOf = await memory.boundAtHome.quotasOf(
    tx,
    waiting.map(({ jobId }) => ({ id: jobId })),
    quotas,
  );
  return shadows.map((shadow) => {
    const keys = quotasOf.get(shadow.jobId);
    return keys === undefined ? shadow : { ...shadow, quotas: keys };
  });
}

interface Standings {
  readonly nowMs: number;
  readonly pledges: readonly { readonly labId: string; readonly gpuSeconds: number }[];
  readonly used: readonly {
    readonly owner: string;
    readonly gpu_seconds: number;
    readonly credit_gpu_seconds: number;
    readonly as_of_ms: number;
  }[];
  readonly gpuQuotas: readonly { readonly key: string; readonly gpus: number }[];
}

/** The database's clock, what labs pledged, what owners used lately, and quotas of GPUs, in one round trip. */
async function loadStandings(tx: Tx): Promise<Standings> {
  const row = await tx.row<Standings>(
    `SELECT ${msOf('clock_timestamp()')} AS "nowMs",
       (SELECT coalesce(json_agg(json_build_object('labId', lab_id, 'gpuSeconds', gpu_seconds)), '[]')
        FROM scheduling.pledge) AS pledges,
       (SELECT coalesce(json_agg(json_build_object('owner', owner, 'gpu_seconds', gpu_seconds,
          'credit_gpu_seconds', credit_gpu_seconds, 'as_of_ms', ${msOf('as_of')})), '[]')
        FROM scheduling.owner_usage) AS used,
       (SELECT coalesce(json_agg(json_build_object('key', scope || '/' || subject, 'gpus', max_gpus_at_once)), '[]')
        FROM scheduling.quota WHERE max_gpus_at_once IS NOT NULL) AS "gpuQuotas"`,
  );
  return present(row, 'an answer of one row');
}
