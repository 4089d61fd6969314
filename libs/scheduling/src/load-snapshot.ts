import type { ClusterInventory, ClusterPolicy } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import { liveStates } from './domain/attempt-lifecycle.js';
import type { ClusterState } from './domain/cluster-lifecycle.js';
import { entitlements } from './domain/entitlements.js';
import { decayed } from './domain/gpu-seconds.js';
import type { JobKind, Snapshot, SnapshotCluster, WaitingJob } from './domain/snapshot.js';
import { type CapacityTrust, fullTrust, trustedGpus } from './domain/trusted-capacity.js';

/** Jobs considered per decision; the next decision follows within the second. */
const waitingPerDecision = 20_000;

const live = liveStates.map((state) => `'${state}'`).join(', ');

export async function loadClusters(tx: Tx): Promise<SnapshotCluster[]> {
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
  const busy = await tx.rows<{ cluster_id: string; owner: string; gpus: string }>(
    `SELECT cluster_id, owner, sum(gpus) AS gpus FROM scheduling.attempt WHERE state IN (${live})
     GROUP BY cluster_id, owner`,
  );
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
    busyGpus: Object.fromEntries(
      busy.filter((b) => b.cluster_id === row.id).map((b) => [b.owner, Number(b.gpus)]),
    ),
  }));
}

interface WaitingRow {
  id: string;
  kind: JobKind;
  owner: string;
  gpus: number;
  gpu_type: string | null;
  gpu_memory_mib: number | null;
  max_seconds: number;
  priority: number;
  submitted_at: Date;
  retry_at: Date | null;
}

/** Everything that a decision depends on, read in one transaction, with the database's clock. */
export async function loadSnapshot(tx: Tx): Promise<{ snapshot: Snapshot; nowMs: number }> {
  const clusters = await loadClusters(tx);
  const rows = await tx.rows<WaitingRow>(
    `SELECT id, kind, owner, gpus, gpu_type, gpu_memory_mib, max_seconds, priority, submitted_at, retry_at
     FROM scheduling.job WHERE state = 'queued' ORDER BY priority DESC, submitted_at, id LIMIT ${waitingPerDecision}`,
  );
  const declines = await tx.rows<{ job_id: string; cluster_id: string }>(
    'SELECT job_id, cluster_id FROM scheduling.decline WHERE until > now()',
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
  const waiting: WaitingJob[] = rows.map((row) => ({
    jobId: row.id,
    kind: row.kind,
    owner: row.owner,
    gpus: row.gpus,
    gpuType: row.gpu_type,
    gpuMemoryMiB: row.gpu_memory_mib,
    maxSeconds: row.max_seconds,
    priority: row.priority,
    submittedMs: row.submitted_at.getTime(),
    retryAtMs: row.retry_at?.getTime() ?? null,
    avoid: avoid.get(row.id) ?? [],
  }));
  const owners = entitlements(
    clusters,
    pledges.map((p) => ({ labId: p.lab_id, gpuSeconds: Number(p.gpu_seconds) })),
    recent,
    [...waiting.map((job) => job.owner), ...recent.keys()],
  );
  return { snapshot: { clusters, waiting, owners }, nowMs };
}
