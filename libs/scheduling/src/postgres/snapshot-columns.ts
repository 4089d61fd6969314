import type { GpuRange } from '../domain/elastic.js';
import type { JobKind } from '../domain/snapshot.js';

/** What a decision reads of a job, whether it waits or runs. Times come as numbers: parsing dates costs more than them. */
export interface SnapshotColumns {
  kind: JobKind;
  owner: string;
  gpus: number;
  /** The fewest that it runs with; null: exactly `gpus`. */
  gpus_min: number | null;
  gpu_share_milli: number;
  gpu_type: string | null;
  gpu_memory_mib: number | null;
  max_seconds: number;
  checkpointable: boolean;
  priority: number;
  submitted_ms: number;
  seconds_used: number;
  /** Null where it is no replica, or leaves. */
  replica_of: string | null;
}

/** A point in time as milliseconds since 1970. `date_part` counts in floating point, `extract` in slow exact numbers. */
export const msOf = (time: string): string => `date_part('epoch', ${time}) * 1000`;

/** `SnapshotColumns` of the job `j`. */
export const snapshotColumns = `j.kind, j.owner, j.gpus, j.gpus_min, j.gpu_share_milli, j.gpu_type, j.gpu_memory_mib, j.max_seconds, j.checkpointable,
  j.priority, ${msOf('j.submitted_at')} AS submitted_ms, j.seconds_used,
  CASE WHEN j.replica IS NOT NULL AND j.leaving_at IS NULL THEN j.model_id END AS replica_of`;

/** The GPUs of a job as decisions see them. */
export function gpuRangeOf({ gpus, gpus_min }: Pick<SnapshotColumns, 'gpus' | 'gpus_min'>): GpuRange {
  return gpus_min === null ? { gpus } : { gpus: gpus_min, gpusMost: gpus };
}

/** Whether a job can save its state and leave. */
export function canLeave(row: Pick<SnapshotColumns, 'checkpointable' | 'kind'>): boolean {
  return row.checkpointable && row.kind !== 'serve';
}
