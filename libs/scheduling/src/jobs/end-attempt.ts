import { invariant, isTerminal } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type AfterAttempt, afterAttempt } from '../domain/after-attempt.js';
import { attemptLifecycle, type EndedAttempt } from '../domain/attempt-lifecycle.js';
import { timeWithAll } from '../domain/elastic.js';
import { gpuSecondsOf, usageHalfLifeMs } from '../domain/gpu-seconds.js';
import { jobLifecycle } from '../domain/job-lifecycle.js';
import { leavingCost } from '../domain/leaving-cost.js';
import { shapeOf } from '../domain/shape.js';
import { consortium } from '../domain/snapshot.js';
import { releaseFollowers } from '../follow/release-followers.js';
import { GPU_ACCOUNTS, type GpuAccounts } from '../ports.js';
import {
  type AttemptRecord,
  appendHistoryAll,
  attemptKey,
  type HistoryEntry,
  type JobRecord,
} from '../postgres/job-records.js';
import { gpuRangeOf } from '../postgres/snapshot-columns.js';

export interface AttemptOutcome {
  readonly state: EndedAttempt;
  readonly reason: string | null;
  readonly exitCode: number | null;
  /** Whether another attempt may end otherwise. */
  readonly retriable: boolean;
  readonly actor: string;
}

/** An attempt that ends, with its job, which the caller has locked. */
export interface AttemptEnd {
  readonly job: JobRecord;
  readonly attempt: AttemptRecord;
  readonly outcome: AttemptOutcome;
}

/** What one end comes to, before it is written. */
interface Closed extends AttemptEnd {
  /** Of the time bound: as with all the GPUs that the job asks for. */
  readonly seconds: number;
  readonly gpuSeconds: number;
  readonly failures: number;
  readonly next: AfterAttempt;
}

/** A job that ends, with or without an attempt. */
interface JobEnd {
  readonly job: JobRecord;
  readonly state: 'succeeded' | 'failed' | 'cancelled';
  readonly reason: string | null;
  readonly actor: string;
}
/** What of a job's row is only known when it has been written. */
interface EndedRow {
  id: string;
  gpu_seconds_used: string;
  attempts: number;
  ended_at: Date | null;
}

/**
 * The one place where attempts end: their GPU-seconds are counted, and their jobs end or queue again. The caller holds
 * the locks of the jobs and has seen that each attempt may move to its state. However many end at once, it is the same
 * handful of statements.
 */
@Injectable()
export class EndAttempt {
  constructor(@Inject(GPU_ACCOUNTS) private readonly accounts: GpuAccounts) {}

  async end(tx: Tx, job: JobRecord, attempt: AttemptRecord, outcome: AttemptOutcome): Promise<AfterAttempt> {
    const [next] = await this.endAll(tx, [{ job, attempt, outcome }]);
    invariant(next !== undefined, 'one end has one consequence');
    return next;
  }

  /** Ends attempts of different jobs; answers what becomes of each job, in their order. */
  async endAll(tx: Tx, ends: readonly AttemptEnd[]): Promise<AfterAttempt[]> {
    if (ends.length === 0) return [];
    const closed = await measure(tx, ends);
    await closeAttempts(tx, closed);
    const rows = await moveJobs(tx, closed);
    await appendHistoryAll(tx, closed.flatMap(historyOf));
    const jobEnds = closed.flatMap(({ job, next, outcome }) =>
      next.kind === 'end' ? [{ job, state: next.state, reason: next.reason, actor: outcome.actor }] : [],
    );
    const followers = await endFollowers(tx, jobEnds);
    await addUsage(tx, closed);
    await this.settle(tx, [...jobEnds, ...followers.ends], [...rows, ...followers.rows]);
    tx.knock('schedule');
    return closed.map(({ next }) => next);
  }

  /** Ends a job that has no live attempt: settles its hold and tells the other contexts. */
  async endJob(
    tx: Tx,
    job: JobRecord,
    state: JobEnd['state'],
    reason: string | null,
    actor: string,
  ): Promise<void> {
    invariant(!isTerminal(jobLifecycle, job.state), `job ${job.state} → ${state}`);
    const rows = await tx.rows<EndedRow>(
      `UPDATE scheduling.job SET state = $2, reason = $3, ended_at = now(), updated_at = now(), retry_at = NULL
       WHERE id = $1 RETURNING id, gpu_seconds_used, attempts, ended_at`,
      [job.id, state, reason],
    );
    const entry = { jobId: job.id, attempt: null, subject: 'job', from: job.state, to: state } as const;
    await appendHistoryAll(tx, [{ ...entry, actor, reason }]);
    const end = { job, state, reason, actor };
    const followers = await endFollowers(tx, [end]);
    await this.settle(tx, [end, ...followers.ends], [...rows, ...followers.rows]);
  }

  /** Settles the holds of jobs that have just ended, and records the facts. */
  private async settle(tx: Tx, ends: readonly JobEnd[], rows: readonly EndedRow[]): Promise<void> {
    if (ends.length === 0) return;
    const rowOf = new Map(rows.map((row) => [row.id, row]));
    const ended = ends.map((end) => {
      const row = rowOf.get(end.job.id);
      invariant(row?.ended_at != null, 'the job is locked');
      return { ...end, endedAt: row.ended_at, attempts: row.attempts, used: Number(row.gpu_seconds_used) };
    });
    const charged = ended.filter(({ job }) => job.account !== null);
    await this.accounts.settleAll(
      tx,
      charged.map(({ job, used }) => ({ jobId: job.id, usedGpuSeconds: used })),
    );
    await tx.recordAll(
      'job.ended',
      ended.map(({ job, state, reason, attempts, used, endedAt }) => ({
        jobId: job.id,
        kind: job.kind,
        state,
        attempts,
        gpuSecondsUsed: used,
        modelId: job.model_id,
        suiteId: job.suite_id,
        studyId: job.study_id,
        reason,
        at: endedAt.toISOString(),
      })),
    );
  }
}

/** Jobs that follow those which have just ended start, or are cancelled with them. */
async function endFollowers(
  tx: Tx,
  ended: readonly JobEnd[],
): Promise<{ readonly ends: JobEnd[]; readonly rows: EndedRow[] }> {
  // Known with the job: what nobody follows costs no statement.
  const followed = ended.filter(({ job }) => job.followers > 0);
  if (followed.length === 0) return { ends: [], rows: [] };
  const forlorn = await releaseFollowers(
    tx,
    followed.map(({ job, state }) => ({ jobId: job.id, state })),
  );
  if (forlorn.length === 0) return { ends: [], rows: [] };
  const rows = await tx.rows<EndedRow>(
    `UPDATE scheduling.job j SET state = 'cancelled', reason = e.reason, ended_at = now(), updated_at = now(),
       retry_at = NULL
     FROM unnest($1::text[], $2::text[]) AS e (id, reason) WHERE j.id = e.id AND j.state = 'queued'
     RETURNING j.id, j.gpu_seconds_used, j.attempts, j.ended_at`,
    [forlorn.map(({ job }) => job.id), forlorn.map(({ reason }) => reason)],
  );
  const ends = forlorn.map(({ job, reason }) => ({
    job,
    state: 'cancelled' as const,
    reason,
    actor: 'scheduler',
  }));
  await appendHistoryAll(
    tx,
    ends.map(({ job, reason, actor }) => ({
      jobId: job.id,
      attempt: null,
      subject: 'job',
      from: 'queued',
      to: 'cancelled',
      actor,
      reason,
    })),
  );
  return { ends, rows };
}

/** How long each attempt ran, and what follows. A lost one is charged to when its agent was last heard of. */
async function measure(tx: Tx, ends: readonly AttemptEnd[]): Promise<Closed[]> {
  const rows = await tx.rows<{
    job_id: string;
    number: number;
    to_now: number | null;
    to_heard: number | null;
  }>(
    `SELECT job_id, number, (extract(epoch FROM clock_timestamp() - running_at) * 1000)::float8 AS to_now,
       (extract(epoch FROM coalesce(renewed_at, running_at) - running_at) * 1000)::float8 AS to_heard
     FROM scheduling.attempt WHERE (job_id, number) IN (SELECT * FROM unnest($1::text[], $2::int[]))`,
    [ends.map(({ job }) => job.id), ends.map(({ attempt }) => attempt.number)],
  );
  const ran = new Map(rows.map((row) => [attemptKey({ jobId: row.job_id, attempt: row.number }), row]));
  return ends.map((end) => {
    const { job, attempt, outcome } = end;
    const moves: readonly string[] = attemptLifecycle[attempt.state];
    invariant(moves.includes(outcome.state), `attempt ${attempt.state} → ${outcome.state}`);
    const times = ran.get(attemptKey({ jobId: job.id, attempt: attempt.number }));
    const runningMs = (outcome.state === 'lost' ? times?.to_heard : times?.to_now) ?? 0;
    const ranSeconds = Math.ceil(Math.max(0, runningMs) / 1000);
    const seconds = Math.ceil(timeWithAll(ranSeconds, attempt.gpus, job.gpus));
    const failures = job.failures + (outcome.state === 'failed' || outcome.state === 'lost' ? 1 : 0);
    const next = afterAttempt(outcome.state, outcome.reason, {
      cancelRequested: job.cancel_requested_at !== null,
      cancelReason: job.cancel_reason,
      failures,
      attemptLimit: job.attempt_limit,
      secondsUsed: job.seconds_used + seconds,
      maxSeconds: job.max_seconds,
      retriable: outcome.retriable,
    });
    return {
      ...end,
      seconds,
      gpuSeconds: gpuSecondsOf(attempt.gpus, runningMs, attempt.gpu_share_milli),
      failures,
      next,
    };
  });
}

async function closeAttempts(tx: Tx, closed: readonly Closed[]): Promise<void> {
  const changed = await tx.changed(
    `UPDATE scheduling.attempt a SET state = e.state, ended_at = now(), reason = e.reason, exit_code = e.exit_code,
       gpu_seconds = e.gpu_seconds
     FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[])
       AS e (job_id, number, was, state, reason, exit_code, gpu_seconds)
     WHERE a.job_id = e.job_id AND a.number = e.number AND a.state = e.was`,
    [
      closed.map(({ job }) => job.id),
      closed.map(({ attempt }) => attempt.number),
      closed.map(({ attempt }) => attempt.state),
      closed.map(({ outcome }) => outcome.state),
      closed.map(({ outcome }) => outcome.reason),
      closed.map(({ outcome }) => outcome.exitCode),
      closed.map(({ gpuSeconds }) => gpuSeconds),
    ],
  );
  invariant(changed === closed.length, 'the job lock keeps its attempt from changing');
}

/** Counts the use and ends each job or puts it back into the queue. */
function moveJobs(tx: Tx, closed: readonly Closed[]): Promise<EndedRow[]> {
  return tx.rows<EndedRow>(
    `UPDATE scheduling.job j SET failures = e.failures, seconds_used = j.seconds_used + e.seconds,
       gpu_seconds_used = j.gpu_seconds_used + e.gpu_seconds, updated_at = now(), state = e.state, shape = e.shape,
       reason = CASE WHEN e.state = 'queued' THEN j.reason ELSE e.reason END,
       ended_at = CASE WHEN e.state = 'queued' THEN NULL ELSE now() END,
       queued_at = CASE WHEN e.state = 'queued' THEN now() ELSE j.queued_at END,
       retry_at = CASE WHEN e.wait_ms > 0 THEN now() + e.wait_ms * interval '1 millisecond' END
     FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::float8[], $8::text[])
       AS e (id, failures, seconds, gpu_seconds, state, reason, wait_ms, shape)
     WHERE j.id = e.id RETURNING j.id, j.gpu_seconds_used, j.attempts, j.ended_at`,
    [
      closed.map(({ job }) => job.id),
      closed.map(({ failures }) => failures),
      closed.map(({ seconds }) => seconds),
      closed.map(({ gpuSeconds }) => gpuSeconds),
      closed.map(({ next }) => (next.kind === 'end' ? next.state : 'queued')),
      closed.map(({ next }) => next.reason),
      closed.map(({ next }) => (next.kind === 'end' ? 0 : next.waitMs)),
      closed.map(({ job, seconds }) =>
        shapeOf(
          {
            kind: job.kind,
            ...gpuRangeOf(job),
            gpuShareMilli: job.gpu_share_milli,
            gpuType: job.gpu_type,
            gpuMemoryMiB: job.gpu_memory_mib,
            maxSeconds: job.max_seconds,
          },
          job.seconds_used + seconds,
        ),
      ),
    ],
  );
}

function historyOf(closed: Closed): HistoryEntry[] {
  const { job, attempt, outcome, next } = closed;
  const { actor } = outcome;
  return [
    ...(outcome.state === 'preempted' ? [costOf(closed)] : []),
    {
      jobId: job.id,
      attempt: attempt.number,
      subject: 'attempt',
      from: attempt.state,
      to: outcome.state,
      actor,
      reason: outcome.reason,
    },
    {
      jobId: job.id,
      attempt: null,
      subject: 'job',
      from: job.state,
      to: next.kind === 'end' ? next.state : 'queued',
      actor,
      reason: next.reason,
    },
  ];
}

/** What leaving costs is charged with the rest of the attempt, and said. */
function costOf({ job, attempt, gpuSeconds }: Closed): HistoryEntry {
  const saved = job.resumable_step === null ? null : Number(job.resumable_step);
  const { lostSteps, lostGpuSeconds } = leavingCost({
    gpuSeconds,
    fromStep: Number(attempt.resumed_from_step ?? 0),
    reachedStep: job.progress?.step ?? null,
    savedStep: saved,
  });
  return {
    jobId: job.id,
    attempt: attempt.number,
    subject: 'note',
    from: null,
    to: 'cost-of-leaving',
    actor: 'scheduler',
    reason: `its state is ${saved === null ? 'not saved' : `saved at step ${saved}`}: ${lostSteps} steps and ${Math.ceil(lostGpuSeconds)} of its ${gpuSeconds} GPU-seconds are lost`,
  };
}

/**
 * Adds to what owners used lately and to their credit, in the order of their ids; what was there decays first. Who runs
 * on another lab's cluster borrows; what runs for the consortium is pledged, not borrowed.
 */
async function addUsage(tx: Tx, closed: readonly Closed[]): Promise<void> {
  const ran = closed.filter(({ gpuSeconds }) => gpuSeconds > 0);
  if (ran.length === 0) return;
  await tx.rows(
    `WITH ran AS (
       SELECT e.owner, c.lab_id, e.gpu_seconds, e.owner <> $4 AND c.lab_id <> e.owner AS borrowed
       FROM unnest($1::text[], $2::text[], $3::float8[]) AS e (owner, cluster_id, gpu_seconds)
       JOIN scheduling.cluster c ON c.id = e.cluster_id
     ), change AS (
       SELECT owner, gpu_seconds AS used, CASE WHEN borrowed THEN -gpu_seconds ELSE 0 END AS credit FROM ran
       UNION ALL SELECT lab_id, 0, gpu_seconds FROM ran WHERE borrowed
     )
     INSERT INTO scheduling.owner_usage AS u (owner, gpu_seconds, credit_gpu_seconds, as_of)
     SELECT owner, sum(used), sum(credit), now() FROM change GROUP BY owner ORDER BY owner
     ON CONFLICT (owner) DO UPDATE SET as_of = now(),
       gpu_seconds = excluded.gpu_seconds + u.gpu_seconds *
         power(2, -greatest(0, extract(epoch FROM now() - u.as_of) * 1000)::float8 / $5),
       credit_gpu_seconds = excluded.credit_gpu_seconds + u.credit_gpu_seconds *
         power(2, -greatest(0, extract(epoch FROM now() - u.as_of) * 1000)::float8 / $5)`,
    [
      ran.map(({ job }) => job.owner),
      ran.map(({ attempt }) => attempt.cluster_id),
      ran.map(({ gpuSeconds }) => gpuSeconds),
      consortium,
      usageHalfLifeMs,
    ],
  );
}
