import type { JobKind } from '../domain/snapshot.js';

/** What a decision reads of a job, whether it waits or runs. Times come as numbers: parsing dates costs more than them. */
export interface SnapshotColumns {
  kind: JobKind;
  owner: string;
  gpus: number;
  gpu_share_milli: number;
  gpu_type: string | null;
  gpu_memory_mib: number | null;
  max_seconds: number;
  checkpointable: boolean;
  priority: number;
  submitted_ms: number;
  seconds_used: number;
}

/** A point in time as milliseconds since 1970. `date_part` counts in floating point, `extract` in slow exact numbers. */
export const msOf = (time: string): string => `date_part('epoch', ${time}) * 1000`;

/** `SnapshotColumns` of the job `j`. */
export const snapshotColumns = `j.kind, j.owner, j.gpus, j.gpu_share_milli, j.gpu_type, j.gpu_memory_mib, j.max_seconds, j.checkpointable,
  j.priority, ${msOf('j.submitted_at')} AS submitted_ms, j.seconds_used`;

/** Whether a job can save its state and leave. */
export function canLeave(row: Pick<SnapshotColumns, 'checkpointable' | 'kind'>): boolean {
  return row.checkpointable && row.kind !== 'serve';
}
