import type { FileEntry, GpuAccountRef, JobProgress } from '@beamtime/contracts';
import type { JobId } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { AttemptState } from '../domain/attempt-lifecycle.js';
import type { JobState } from '../domain/job-lifecycle.js';
import type { JobKind } from '../domain/snapshot.js';

/** Where a later attempt continues. */
export interface Resumable {
  readonly step: number;
  readonly attempt: number;
  readonly chainSha256: string;
  readonly files: readonly FileEntry[];
}

/** A row of scheduling.job without its two large columns, `runner` and `inputs`. bigint comes as text. */
export interface JobRecord {
  id: JobId;
  kind: JobKind;
  name: string;
  state: JobState;
  reason: string | null;
  owner: string;
  lab_id: string | null;
  suite_id: string | null;
  model_id: string | null;
  study_id: string | null;
  gpus: number;
  /** The fewest that it runs with; null: exactly `gpus`. */
  gpus_min: number | null;
  /** 1000: its GPUs are its own. */
  gpu_share_milli: number;
  gpu_type: string | null;
  gpu_memory_mib: number | null;
  max_seconds: number;
  checkpointable: boolean;
  priority: number;
  attempt_limit: number;
  attempts: number;
  failures: number;
  retry_at: Date | null;
  /** Jobs that it follows and that have not succeeded, and one more while its work is not planned. */
  blocked_by: number;
  /** Jobs that follow it. */
  followers: number;
  deadline: Date | null;
  /** Which of the replicas of its model it is; null where it is none. */
  replica: number | null;
  /** Since when it gets no new requests. */
  leaving_at: Date | null;
  account: GpuAccountRef | null;
  gpu_seconds_held: string;
  gpu_seconds_used: string;
  seconds_used: number;
  cancel_requested_at: Date | null;
  cancel_reason: string | null;
  cancel_actor: string | null;
  resumable: Resumable | null;
  resumable_step: string | null;
  progress: JobProgress | null;
  checkpoints: number;
  last_checkpoint_step: string | null;
  submitted_by: string;
  submitted_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
  updated_at: Date;
}

export const jobColumns = `id, kind, name, state, reason, owner, lab_id, suite_id, model_id, study_id, gpus, gpus_min, gpu_share_milli, gpu_type,
  gpu_memory_mib, max_seconds, checkpointable, priority, attempt_limit, attempts, failures, retry_at, blocked_by,
  followers, deadline, replica, leaving_at, account,
  gpu_seconds_held, gpu_seconds_used, seconds_used, cancel_requested_at, cancel_reason, cancel_actor, resumable,
  resumable_step, progress, checkpoints, last_checkpoint_step, submitted_by, submitted_at, started_at, ended_at,
  updated_at`;

export interface AttemptRecord {
  job_id: JobId;
  number: number;
  cluster_id: string;
  incarnation: number | null;
  state: AttemptState;
  /** Those that it has: of an elastic job maybe fewer than the job asks for. */
  gpus: number;
  gpu_share_milli: number;
  /** Number of the shared GPU that it has a part of. */
  gpu_slot: number | null;
  owner: string;
  offered_at: Date;
  offer_expires_at: Date;
  accepted_at: Date | null;
  running_at: Date | null;
  ended_at: Date | null;
  lease_expires_at: Date | null;
  renewed_at: Date | null;
  preempt_reason: string | null;
  gpu_seconds: string;
  exit_code: number | null;
  reason: string | null;
  resumed_from_step: string | null;
  next_event_seq: string;
  log_bytes: string;
  log_bytes_dropped: string;
  metric_points: number;
  upload_bytes: string;
}

/** The job, locked for this transaction. Jobs are always locked before their attempts. */
export function lockJob(tx: Tx, jobId: string): Promise<JobRecord | undefined> {
  return tx.row<JobRecord>(`SELECT ${jobColumns} FROM scheduling.job WHERE id = $1 FOR UPDATE`, [jobId]);
}

/** Many jobs, locked in the order of their ids, as everyone locks several. Those that do not exist are left out. */
export function lockJobs(tx: Tx, jobIds: readonly string[]): Promise<Map<string, JobRecord>> {
  return lockInOrder(tx, jobIds, 'FOR UPDATE');
}

/** The same without waiting for anybody: those that somebody works on at the moment are left out too. */
export function lockFreeJobs(tx: Tx, jobIds: readonly string[]): Promise<Map<string, JobRecord>> {
  return lockInOrder(tx, jobIds, 'FOR UPDATE SKIP LOCKED');
}

async function lockInOrder(tx: Tx, jobIds: readonly string[], how: string): Promise<Map<string, JobRecord>> {
  const rows = await tx.rows<JobRecord>(
    `SELECT ${jobColumns} FROM scheduling.job WHERE id = ANY ($1) ORDER BY id ${how}`,
    [[...new Set(jobIds)]],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

export interface AttemptKey {
  readonly jobId: string;
  readonly attempt: number;
}
export const attemptKey = ({ jobId, attempt }: AttemptKey): string => `${jobId}/${attempt}`;

/**
 * Many attempts, locked in the order of their jobs, by `attemptKey`. Their jobs are locked already; the lock keeps the
 * order with a sync, which renews leases without the jobs.
 */
export async function lockAttempts(tx: Tx, keys: readonly AttemptKey[]): Promise<Map<string, AttemptRecord>> {
  const rows = await tx.rows<AttemptRecord>(
    `SELECT a.* FROM scheduling.attempt a
     WHERE (a.job_id, a.number) IN (SELECT * FROM unnest($1::text[], $2::int[]))
     ORDER BY a.job_id, a.number FOR UPDATE`,
    [keys.map((key) => key.jobId), keys.map((key) => key.attempt)],
  );
  return new Map(rows.map((row) => [attemptKey({ jobId: row.job_id, attempt: row.number }), row]));
}

export function findAttempt(tx: Tx, jobId: string, number: number): Promise<AttemptRecord | undefined> {
  return tx.row<AttemptRecord>('SELECT * FROM scheduling.attempt WHERE job_id = $1 AND number = $2', [
    jobId,
    number,
  ]);
}

export interface HistoryEntry {
  readonly jobId: string;
  readonly attempt: number | null;
  readonly subject: 'job' | 'attempt' | 'note';
  readonly from: string | null;
  readonly to: string;
  readonly actor: string;
  readonly reason: string | null;
}

/** History keeps a sentence, not an essay. */
const reasonLengthMax = 2_000;

/** Appends to a job's history; every transition goes through here. */
export function appendHistory(tx: Tx, entry: HistoryEntry): Promise<void> {
  return appendHistoryAll(tx, [entry]);
}

/** Appends many entries at once, in order. */
export async function appendHistoryAll(tx: Tx, entries: readonly HistoryEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await tx.rows(
    `INSERT INTO scheduling.job_event (job_id, attempt, subject, from_state, to_state, actor, reason)
     SELECT job_id, attempt, subject, from_state, to_state, actor, reason
     FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) WITH ORDINALITY
       AS e (job_id, attempt, subject, from_state, to_state, actor, reason, n) ORDER BY n`,
    [
      entries.map((entry) => entry.jobId),
      entries.map((entry) => entry.attempt),
      entries.map((entry) => entry.subject),
      entries.map((entry) => entry.from),
      entries.map((entry) => entry.to),
      entries.map((entry) => entry.actor),
      entries.map((entry) => entry.reason?.slice(0, reasonLengthMax) ?? null),
    ],
  );
}
