import type { JobKind, JobRequest, SnapshotShadow } from './domain/snapshot.js';

/** What a decision reads of a job, whether it waits or runs. Times come as numbers: parsing dates costs more than them. */
export interface SnapshotColumns {
  kind: JobKind;
  owner: string;
  gpus: number;
  gpu_type: string | null;
  gpu_memory_mib: number | null;
  max_seconds: number;
  checkpointable: boolean;
  priority: number;
  submitted_ms: number;
  seconds_used: number;
  shadowed: boolean;
  shadow_cluster_id: string | null;
  shadow_started_ms: number | null;
  shadow_served_ms: number | null;
}

/** A point in time as milliseconds since 1970. */
export const msOf = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::float8`;

/** `SnapshotColumns` of the job `j` and of its shadow, or none, `s`. */
export const snapshotColumns = `j.kind, j.owner, j.gpus, j.gpu_type, j.gpu_memory_mib, j.max_seconds, j.checkpointable,
  j.priority, ${msOf('j.submitted_at')} AS submitted_ms, j.seconds_used, s.job_id IS NOT NULL AS shadowed,
  s.cluster_id AS shadow_cluster_id, ${msOf('s.started_at')} AS shadow_started_ms,
  s.served_ms::float8 AS shadow_served_ms`;

interface JobFacts extends JobRequest {
  readonly priority: number;
  readonly submittedMs: number;
  readonly servedMs: number;
  readonly shadow?: SnapshotShadow;
}

export function factsOf(row: SnapshotColumns): JobFacts {
  return {
    kind: row.kind,
    owner: row.owner,
    gpus: row.gpus,
    gpuType: row.gpu_type,
    gpuMemoryMiB: row.gpu_memory_mib,
    maxSeconds: row.max_seconds,
    priority: row.priority,
    submittedMs: row.submitted_ms,
    servedMs: row.seconds_used * 1000,
    ...(row.shadowed && {
      shadow: {
        clusterId: row.shadow_cluster_id,
        startedMs: row.shadow_started_ms,
        servedMs: row.shadow_served_ms ?? 0,
      },
    }),
  };
}

/** Whether a job can save its state and leave. */
export function canLeave(row: Pick<SnapshotColumns, 'checkpointable' | 'kind'>): boolean {
  return row.checkpointable && row.kind !== 'serve';
}
