import type { JobId } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { LiveReplica } from '../domain/plan-replicas.js';
import { CancelJob } from '../jobs/cancel-job.js';
import { appendHistoryAll } from '../postgres/job-records.js';

/** A serve job that has not ended, as scheduling knows it; gateways know the rest. */
export interface ServeJob extends Omit<LiveReplica, 'isConnected' | 'inFlight'> {
  readonly jobId: JobId;
  readonly modelId: string;
  readonly clusterId: string | null;
  readonly clusterName: string | null;
  readonly submittedAt: Date;
}

/** Replicas of a model that failed one after the other; any other end before them does not count. */
export interface ReplicaFailures {
  readonly failures: number;
  /** Since the last one, in milliseconds. */
  readonly agoMs: number;
  readonly reason: string | null;
}

/** How many of the last ends are looked at. */
const endsRead = 8;
const serving = `kind = 'serve' AND state IN ('queued', 'running') AND cancel_requested_at IS NULL`;

/** The serve jobs that are replicas of models. */
@Injectable()
export class Replicas {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(CancelJob) private readonly cancelJob: CancelJob,
  ) {}

  /** Serve jobs that have not ended and are not cancelled, of one model or of all. */
  async live(modelId: string | null, tx: Tx = this.transactor.read): Promise<ServeJob[]> {
    const rows = await tx.rows<{
      id: JobId;
      model_id: string;
      replica: number | null;
      is_waiting: boolean;
      leaving_for_ms: number | null;
      seconds_left: number | null;
      cluster_id: string | null;
      cluster_name: string | null;
      submitted_at: Date;
    }>(
      `SELECT j.id, j.model_id, j.replica, j.submitted_at, a.cluster_id, c.name AS cluster_name,
         j.state = 'queued' OR a.state = 'offered' AS is_waiting,
         (extract(epoch FROM now() - j.leaving_at) * 1000)::float8 AS leaving_for_ms,
         (j.max_seconds - j.seconds_used - extract(epoch FROM now() - a.running_at))::float8 AS seconds_left
       FROM scheduling.job j
       LEFT JOIN scheduling.attempt a ON j.state = 'running' AND a.job_id = j.id AND a.number = j.attempts
       LEFT JOIN scheduling.cluster c ON c.id = a.cluster_id
       WHERE j.kind = 'serve' AND j.state IN ('queued', 'running') AND j.cancel_requested_at IS NULL
         AND j.model_id IS NOT NULL AND ($1::text IS NULL OR j.model_id = $1)
       ORDER BY j.id`,
      [modelId],
    );
    return rows.map((row) => ({
      jobId: row.id,
      modelId: row.model_id,
      replica: row.replica,
      isWaiting: row.is_waiting,
      leavingForMs: row.leaving_for_ms,
      secondsLeft: row.seconds_left,
      clusterId: row.cluster_id,
      clusterName: row.cluster_name,
      submittedAt: row.submitted_at,
    }));
  }

  /** From now on they get no new requests; those that do so already, or have ended, stay as they are. */
  async leave(
    tx: Tx,
    leaving: readonly { readonly jobId: string; readonly reason: string }[],
  ): Promise<void> {
    const changed = await changeEach(leaving, (jobId) =>
      tx.changed(
        `UPDATE scheduling.job SET leaving_at = now(), updated_at = now()
         WHERE id = $1 AND ${serving} AND replica IS NOT NULL AND leaving_at IS NULL`,
        [jobId],
      ),
    );
    await note(tx, changed, 'leaving');
  }

  /** They get requests again, under these numbers; those that are cancelled or have ended meanwhile do not. */
  async takeBack(
    tx: Tx,
    back: readonly { readonly jobId: string; readonly replica: number }[],
  ): Promise<void> {
    const numbers = new Map(back.map((one) => [one.jobId, one.replica]));
    const wishes = back.map(({ jobId }) => ({ jobId, reason: 'more is asked of the model again' }));
    const changed = await changeEach(wishes, (jobId) =>
      tx.changed(
        `UPDATE scheduling.job SET leaving_at = NULL, replica = $2, updated_at = now()
         WHERE id = $1 AND ${serving} AND leaving_at IS NOT NULL`,
        [jobId, numbers.get(jobId)],
      ),
    );
    await note(tx, changed, 'taken-back');
  }

  /** Ends a replica that leaves; one that was taken back meanwhile is not touched. */
  async end(jobId: string): Promise<void> {
    await this.cancelJob.execute({
      jobId,
      reason: 'it is not needed any more',
      actor: 'scheduler',
      allowed: (job) => job.leaving_at !== null,
    });
  }

  /** The failures that the last replicas of a model ended with, within the last hour. */
  async failures(tx: Tx, modelId: string): Promise<ReplicaFailures> {
    const rows = await tx.rows<{ state: string; reason: string | null; ago_ms: number }>(
      `SELECT state, reason, (extract(epoch FROM now() - ended_at) * 1000)::float8 AS ago_ms FROM scheduling.job
       WHERE model_id = $1 AND replica IS NOT NULL AND ended_at > now() - interval '1 hour'
       ORDER BY ended_at DESC LIMIT ${endsRead}`,
      [modelId],
    );
    const firstOther = rows.findIndex((row) => row.state !== 'failed');
    return {
      failures: firstOther < 0 ? rows.length : firstOther,
      agoMs: rows[0]?.ago_ms ?? Number.POSITIVE_INFINITY,
      reason: rows[0]?.reason ?? null,
    };
  }
}

interface Wish {
  readonly jobId: string;
  readonly reason: string;
}

/** In the order of their ids, as everyone locks several jobs; answers those that changed. */
async function changeEach(
  wishes: readonly Wish[],
  change: (jobId: string) => Promise<number>,
): Promise<Wish[]> {
  const changed: Wish[] = [];
  for (const wish of [...wishes].sort((a, b) => (a.jobId < b.jobId ? -1 : 1))) {
    if ((await change(wish.jobId)) > 0) changed.push(wish);
  }
  return changed;
}

async function note(tx: Tx, changed: readonly Wish[], to: 'leaving' | 'taken-back'): Promise<void> {
  if (changed.length === 0) return;
  await appendHistoryAll(
    tx,
    changed.map(({ jobId, reason }) => ({
      jobId,
      attempt: null,
      subject: 'note',
      from: null,
      to,
      actor: 'scheduler',
      reason,
    })),
  );
}
