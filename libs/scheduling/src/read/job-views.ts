import type {
  AttemptView,
  FollowedJob,
  JobView,
  listJobs,
  QueryOf,
  ResponseOf,
  summarizeJobs,
} from '@beamtime/contracts';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { AttemptState } from '../domain/attempt-lifecycle.js';
import { wholeGpuMilli } from '../domain/gpu-share.js';
import { GroupCommit } from '../group-commit.js';
import { type AttemptRecord, type JobRecord, jobColumns } from '../postgres/job-records.js';

type JobWithAttempt = JobRecord & {
  cluster_id: string | null;
  cluster_name: string | null;
  attempt_state: AttemptState | null;
};

const number = (text: string | null): number | null => (text === null ? null : Number(text));

/** Jobs as people see them. */
@Injectable()
export class JobViews {
  private readonly together = new GroupCommit<string, JobView | undefined>({
    commit: async (jobIds) => {
      const views = new Map((await this.findAll(jobIds)).map((view) => [view.jobId as string, view]));
      return jobIds.map((jobId) => views.get(jobId));
    },
    sizeOf: () => 1,
    sizeAtMost: 200,
    atOnce: 1,
  });

  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async find(jobId: string): Promise<JobView | undefined> {
    return (await this.select('j.id = $1', [jobId], 1))[0];
  }

  /** Like `find`, for many callers at once: those that ask together share a query. */
  findTogether(jobId: string): Promise<JobView | undefined> {
    return this.together.submit(jobId);
  }

  findAll(jobIds: readonly string[]): Promise<JobView[]> {
    return this.select('j.id = ANY($1)', [jobIds], jobIds.length);
  }

  async list(query: QueryOf<typeof listJobs>): Promise<{ items: JobView[]; next: string | null }> {
    const where: string[] = [];
    const parameters: unknown[] = [];
    const equals = (column: string, value: unknown): void => {
      if (value === undefined) return;
      parameters.push(value);
      where.push(`${column} = $${parameters.length}`);
    };
    equals('j.state', query.state);
    equals('j.kind', query.kind);
    equals('j.lab_id', query.labId);
    equals('j.suite_id', query.suiteId);
    equals('j.model_id', query.modelId);
    equals('j.study_id', query.studyId);
    equals('a.cluster_id', query.clusterId);
    if (query.after !== undefined) {
      parameters.push(query.after);
      // Ids sort by the time of submission.
      where.push(`j.id < $${parameters.length}`);
    }
    const found = await this.select(where.join(' AND ') || 'true', parameters, query.limit + 1);
    const items = found.slice(0, query.limit);
    return { items, next: found.length > query.limit ? (items.at(-1)?.jobId ?? null) : null };
  }

  /** Which jobs changed at or after a moment, oldest change first; for live views. */
  async changesSince(since: Date, limit: number): Promise<{ jobId: string; updatedMs: number }[]> {
    const rows = await this.transactor.read.rows<{ id: string; updated_ms: number }>(
      `SELECT id, (extract(epoch FROM updated_at) * 1000)::float8 AS updated_ms FROM scheduling.job
       WHERE updated_at >= $1 ORDER BY updated_at LIMIT $2`,
      [since, limit],
    );
    return rows.map((row) => ({ jobId: row.id, updatedMs: row.updated_ms }));
  }

  async attemptsOf(jobId: string): Promise<AttemptView[]> {
    const rows = await this.transactor.read.rows<AttemptRecord & { cluster_name: string }>(
      `SELECT a.*, c.name AS cluster_name FROM scheduling.attempt a JOIN scheduling.cluster c ON c.id = a.cluster_id
       WHERE a.job_id = $1 ORDER BY a.number`,
      [jobId],
    );
    return rows.map((row) => ({
      attempt: row.number,
      gpus: row.gpus,
      clusterId: row.cluster_id,
      clusterName: row.cluster_name,
      state: row.state,
      offeredAt: row.offered_at.toISOString(),
      runningAt: row.running_at?.toISOString() ?? null,
      endedAt: row.ended_at?.toISOString() ?? null,
      leaseExpiresAt: row.lease_expires_at?.toISOString() ?? null,
      resumedFromStep: number(row.resumed_from_step),
      gpuSeconds: Number(row.gpu_seconds),
      exitCode: row.exit_code,
      reason: row.reason,
    }));
  }

  /** The jobs that a job follows, and how they stand; those that have not succeeded first. */
  followedBy(jobId: string): Promise<FollowedJob[]> {
    return this.transactor.read.rows<FollowedJob>(
      `SELECT j.id AS "jobId", j.name, j.state FROM scheduling.dependency d
       JOIN scheduling.job j ON j.id = d.after_job_id WHERE d.job_id = $1 ORDER BY d.met_at NULLS FIRST, j.id`,
      [jobId],
    );
  }

  /** What a deadline has to be measured by, at the database's clock; undefined where there is none. */
  async haste(
    jobId: string,
  ): Promise<{ nowMs: number; deadlineMs: number; secondsLeft: number } | undefined> {
    const row = await this.transactor.read.row<{ now: Date; deadline: Date; seconds_left: number }>(
      `SELECT clock_timestamp() AS now, deadline, ceil((max_seconds - seconds_used)::float8 * gpus / coalesce(gpus_min, gpus)) AS seconds_left
       FROM scheduling.job WHERE id = $1 AND deadline IS NOT NULL`,
      [jobId],
    );
    if (row === undefined) return undefined;
    return {
      nowMs: row.now.getTime(),
      deadlineMs: row.deadline.getTime(),
      secondsLeft: Math.max(0, row.seconds_left),
    };
  }

  async runnerOf(jobId: string): Promise<Record<string, unknown>> {
    const row = await this.transactor.read.row<{ runner: Record<string, unknown> }>(
      'SELECT runner FROM scheduling.job WHERE id = $1',
      [jobId],
    );
    return row?.runner ?? {};
  }

  async summarize(): Promise<ResponseOf<typeof summarizeJobs>> {
    const rows = await this.transactor.read.rows<{
      kind: JobView['kind'];
      state: JobView['state'];
      jobs: number;
      used: string;
      held: string;
    }>(
      `SELECT kind, state, count(*)::int AS jobs, sum(gpu_seconds_used) AS used,
         sum(gpu_seconds_held) FILTER (WHERE ended_at IS NULL) AS held
       FROM scheduling.job GROUP BY kind, state ORDER BY kind, state`,
    );
    return {
      counts: rows.map(({ kind, state, jobs }) => ({ kind, state, jobs })),
      gpuSecondsUsed: rows.reduce((sum, row) => sum + Number(row.used ?? 0), 0),
      gpuSecondsHeld: rows.reduce((sum, row) => sum + Number(row.held ?? 0), 0),
    };
  }

  /** How many jobs of a kind have ended for a model without success. */
  async countEnded(tx: Tx, modelId: string, kind: JobView['kind']): Promise<number> {
    const row = await tx.row<{ ended: number }>(
      `SELECT count(*)::int AS ended FROM scheduling.job
       WHERE model_id = $1 AND kind = $2 AND state IN ('failed', 'cancelled')`,
      [modelId, kind],
    );
    return row?.ended ?? 0;
  }

  private async select(where: string, parameters: unknown[], limit: number): Promise<JobView[]> {
    return (await this.rows(where, parameters, limit, 'j.id DESC')).map(jobView);
  }

  private rows(
    where: string,
    parameters: unknown[],
    limit: number,
    order: string,
  ): Promise<JobWithAttempt[]> {
    const columns = jobColumns
      .split(',')
      .map((column) => `j.${column.trim()}`)
      .join(', ');
    return this.transactor.read.rows<JobWithAttempt>(
      `SELECT ${columns}, a.cluster_id, c.name AS cluster_name, a.state AS attempt_state
       FROM scheduling.job j
       LEFT JOIN scheduling.attempt a ON a.job_id = j.id AND a.number = j.attempts
       LEFT JOIN scheduling.cluster c ON c.id = a.cluster_id
       WHERE ${where} ORDER BY ${order} LIMIT $${parameters.length + 1}`,
      [...parameters, limit],
    );
  }
}

function jobView(row: JobWithAttempt): JobView {
  return {
    jobId: row.id,
    kind: row.kind,
    name: row.name,
    state: row.state,
    reason: row.reason,
    cancelRequested: row.cancel_requested_at !== null,
    labId: row.lab_id,
    suiteId: row.suite_id,
    modelId: row.model_id,
    studyId: row.study_id,
    resources: {
      gpus: row.gpus,
      ...(row.gpus_min === null ? {} : { gpusMin: row.gpus_min }),
      ...(row.gpu_share_milli === wholeGpuMilli ? {} : { gpuShareMilli: row.gpu_share_milli }),
      ...(row.gpu_type === null ? {} : { gpuType: row.gpu_type }),
      ...(row.gpu_memory_mib === null ? {} : { gpuMemoryMiB: row.gpu_memory_mib }),
      maxSeconds: row.max_seconds,
      checkpoint: row.checkpointable,
    },
    priority: row.priority,
    blockedBy: row.blocked_by,
    attempts: row.attempts,
    attemptLimit: row.attempt_limit,
    deadline: row.deadline?.toISOString() ?? null,
    clusterId: row.cluster_id,
    clusterName: row.cluster_name,
    attemptState: row.attempt_state,
    progress: row.progress,
    checkpoints: row.checkpoints,
    lastCheckpointStep: number(row.last_checkpoint_step),
    resumableStep: number(row.resumable_step),
    gpuSecondsHeld: Number(row.gpu_seconds_held),
    gpuSecondsUsed: Number(row.gpu_seconds_used),
    submittedBy: row.submitted_by,
    submittedAt: row.submitted_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
