import { invariant, isTerminal, type JobId } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type AfterAttempt, afterAttempt } from './domain/after-attempt.js';
import { attemptLifecycle, type EndedAttempt } from './domain/attempt-lifecycle.js';
import { gpuSecondsOf, usageHalfLifeMs } from './domain/gpu-seconds.js';
import { type JobState, jobLifecycle } from './domain/job-lifecycle.js';
import { GPU_ACCOUNTS, type GpuAccounts } from './ports.js';
import { type AttemptRecord, appendHistory, type JobRecord } from './postgres/job-records.js';

export interface AttemptOutcome {
  readonly state: EndedAttempt;
  readonly reason: string | null;
  readonly exitCode: number | null;
  /** Whether another attempt may end otherwise. */
  readonly retriable: boolean;
  readonly actor: string;
}

/**
 * The one place where an attempt ends: its GPU-seconds are counted, and the job ends or queues again. The caller
 * holds the lock of the job and has seen that the attempt may move to this state.
 */
@Injectable()
export class EndAttempt {
  constructor(@Inject(GPU_ACCOUNTS) private readonly accounts: GpuAccounts) {}

  async end(tx: Tx, job: JobRecord, attempt: AttemptRecord, outcome: AttemptOutcome): Promise<AfterAttempt> {
    const moves: readonly string[] = attemptLifecycle[attempt.state];
    invariant(moves.includes(outcome.state), `attempt ${attempt.state} → ${outcome.state}`);
    const used = await this.closeAttempt(tx, job, attempt, outcome);
    const failures = job.failures + (outcome.state === 'failed' || outcome.state === 'lost' ? 1 : 0);
    const next = afterAttempt(outcome.state, outcome.reason, {
      cancelRequested: job.cancel_requested_at !== null,
      cancelReason: job.cancel_reason,
      failures,
      attemptLimit: job.attempt_limit,
      secondsUsed: job.seconds_used + used.seconds,
      maxSeconds: job.max_seconds,
      retriable: outcome.retriable,
    });
    await tx.rows(
      `UPDATE scheduling.job SET failures = $2, seconds_used = seconds_used + $3,
         gpu_seconds_used = gpu_seconds_used + $4, updated_at = now()
       WHERE id = $1`,
      [job.id, failures, used.seconds, used.gpuSeconds],
    );
    if (next.kind === 'end') await this.endJob(tx, job, next.state, next.reason, outcome.actor);
    else await this.requeue(tx, job, next.waitMs, next.reason, outcome.actor);
    tx.knock('schedule');
    return next;
  }

  private async closeAttempt(
    tx: Tx,
    job: JobRecord,
    attempt: AttemptRecord,
    outcome: AttemptOutcome,
  ): Promise<{ seconds: number; gpuSeconds: number }> {
    // A lost attempt is charged to when its agent was last heard of, any other to now.
    const measured = await tx.row<{ running_ms: number | null }>(
      `SELECT (extract(epoch FROM (CASE WHEN $3 THEN coalesce(renewed_at, running_at) ELSE clock_timestamp() END)
         - running_at) * 1000)::float8 AS running_ms
       FROM scheduling.attempt WHERE job_id = $1 AND number = $2`,
      [job.id, attempt.number, outcome.state === 'lost'],
    );
    const runningMs = measured?.running_ms ?? 0;
    const seconds = Math.ceil(Math.max(0, runningMs) / 1000);
    const gpuSeconds = gpuSecondsOf(attempt.gpus, runningMs);
    const changed = await tx.changed(
      `UPDATE scheduling.attempt SET state = $3, ended_at = now(), reason = $4, exit_code = $5, gpu_seconds = $6
       WHERE job_id = $1 AND number = $2 AND state = $7`,
      [job.id, attempt.number, outcome.state, outcome.reason, outcome.exitCode, gpuSeconds, attempt.state],
    );
    invariant(changed === 1, 'the job lock keeps its attempt from changing');
    await appendHistory(tx, {
      jobId: job.id,
      attempt: attempt.number,
      subject: 'attempt',
      from: attempt.state,
      to: outcome.state,
      actor: outcome.actor,
      reason: outcome.reason,
    });
    if (gpuSeconds > 0) await addUsage(tx, job.owner, gpuSeconds);
    return { seconds, gpuSeconds };
  }

  private async requeue(
    tx: Tx,
    job: JobRecord,
    waitMs: number,
    reason: string,
    actor: string,
  ): Promise<void> {
    await tx.rows(
      `UPDATE scheduling.job SET state = 'queued', retry_at = now() + $2 * interval '1 millisecond' WHERE id = $1`,
      [job.id, waitMs],
    );
    await this.note(tx, job, 'queued', actor, reason);
  }

  /** Ends a job, with or without an attempt: settles its hold and tells the other contexts. */
  async endJob(
    tx: Tx,
    job: JobRecord,
    state: 'succeeded' | 'failed' | 'cancelled',
    reason: string | null,
    actor: string,
  ): Promise<void> {
    invariant(!isTerminal(jobLifecycle, job.state), `job ${job.state} → ${state}`);
    const ended = await tx.row<{ gpu_seconds_used: string; attempts: number; ended_at: Date }>(
      `UPDATE scheduling.job SET state = $2, reason = $3, ended_at = now(), updated_at = now(), retry_at = NULL
       WHERE id = $1 RETURNING gpu_seconds_used, attempts, ended_at`,
      [job.id, state, reason],
    );
    invariant(ended !== undefined, 'the job is locked');
    await this.note(tx, job, state, actor, reason);
    const gpuSecondsUsed = Number(ended.gpu_seconds_used);
    if (job.account !== null) {
      await this.accounts.settle(tx, { jobId: job.id as JobId, usedGpuSeconds: gpuSecondsUsed });
    }
    await tx.record('job.ended', {
      jobId: job.id,
      kind: job.kind,
      state,
      attempts: ended.attempts,
      gpuSecondsUsed,
      modelId: job.model_id,
      suiteId: job.suite_id,
      studyId: job.study_id,
      reason,
      at: ended.ended_at.toISOString(),
    });
  }

  private note(tx: Tx, job: JobRecord, to: JobState, actor: string, reason: string | null): Promise<void> {
    return appendHistory(tx, {
      jobId: job.id,
      attempt: null,
      subject: 'job',
      from: job.state,
      to,
      actor,
      reason,
    });
  }
}

/** Adds to what an owner used lately; what was there decays first. */
async function addUsage(tx: Tx, owner: string, gpuSeconds: number): Promise<void> {
  await tx.rows(
    `INSERT INTO scheduling.owner_usage AS u (owner, gpu_seconds, as_of) VALUES ($1, $2, now())
     ON CONFLICT (owner) DO UPDATE SET as_of = now(), gpu_seconds = $2 + u.gpu_seconds *
       power(2, -greatest(0, extract(epoch FROM now() - u.as_of) * 1000)::float8 / $3)`,
    [owner, gpuSeconds, usageHalfLifeMs],
  );
}
