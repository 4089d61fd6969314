import {
  type FileEntry,
  type GpuAccountRef,
  type JobResources,
  type ProblemCode,
  type RunnerTemplate,
  schedulingLimits,
} from '@beamtime/contracts';
import { err, type JobId, ok, type Problem, present, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { KnownClusters } from '../clusters/known-clusters.js';
import { type Following, followOthers } from '../domain/follow-others.js';
import { gpuSecondsBound } from '../domain/gpu-seconds.js';
import { wholeGpuMilli } from '../domain/gpu-share.js';
import { type Exceeded, quotaKeysOf } from '../domain/quota.js';
import { markedShape, shapeOf } from '../domain/shape.js';
import { consortium, type JobKind, type JobRequest, type Owner } from '../domain/snapshot.js';
import { follow, lockFollowed } from '../follow/lock-followed.js';
import { GroupCommit } from '../group-commit.js';
import { GPU_ACCOUNTS, type GpuAccounts } from '../ports.js';
import { appendHistoryAll } from '../postgres/job-records.js';
import { gpuRangeOf } from '../postgres/snapshot-columns.js';
import { lockQuotas } from '../quotas/read-quotas.js';
import { enterShadows } from '../shadows/enter-shadows.js';
import { QueueLimit } from './queue-depth.js';

/** A job as an app hands it in: inputs are objects of the store already, permissions have been checked. */
export interface JobSubmission {
  readonly kind: JobKind;
  readonly name: string;
  readonly runner: RunnerTemplate;
  readonly inputs: readonly FileEntry[];
  readonly resources: JobResources;
  readonly labId: string | null;
  readonly suiteId: string | null;
  readonly modelId: string | null;
  readonly studyId: string | null;
  /** Among the jobs of the same owner, higher first. */
  readonly priority: number;
  readonly attemptLimit: number;
  /** The same key again finds the same job. */
  readonly requestKey: string | null;
  /** Who pays; null where nobody is charged. */
  readonly account: GpuAccountRef | null;
  /**
   * GPU-seconds to hold where the account was reserved by an estimate; by default the whole time bound. What the job
   * uses beyond its hold is charged to the account as far as that reaches.
   */
  readonly gpuSecondsHeld?: number;
  /** When it is ended should it not have ended by itself, in milliseconds of the epoch; null or left out: never. */
  readonly deadlineMs?: number | null;
  /** Jobs that must have succeeded before it starts. */
  readonly after?: readonly string[];
  /**
   * What the app needs to plan the work when the model has been trained, see `PlanLate`; `runner` and `inputs` are then
   * only what is known so far. Such a job follows the training, which must not have ended.
   */
  readonly unplanned?: Readonly<Record<string, unknown>>;
  /** For a serve job of the facility's own: which of the replicas of its model it is. Each is live once. */
  readonly replica?: number;
  /** Id of a person, or a part of the facility. */
  readonly submittedBy: string;
}

export interface SubmittedJob {
  readonly jobId: JobId;
  /** False when the request key, or a job that serves the model, was there before. */
  readonly created: boolean;
}

type Refused = Problem<ProblemCode>;

/** Jobs of a suite run on the consortium's share, those of a lab on its own. */
export function ownerOf(submission: Pick<JobSubmission, 'suiteId' | 'labId'>): Owner {
  return submission.suiteId === null && submission.labId !== null ? submission.labId : consortium;
}

type Submitted = Result<SubmittedJob, Refused>;
/** A submission that nothing stands against. */
interface Accepted extends Submission {
  readonly gpuSeconds: number;
  readonly follows: Extract<Following, { kind: 'follows' }>;
  /** Keys of the quotas of GPUs under which it stands. */
  readonly gpuQuotas: readonly string[];
}
interface Submission {
  readonly jobId: JobId;
  readonly job: JobSubmission;
}

/** Submissions that arrive together and share a transaction; a large job file counts for several. */
const submissionsPerCommit = 100;
const bytesPerSubmission = 65_536;

/** Puts jobs into the queue, with their GPU-seconds held, or says at once why one can never run. */
@Injectable()
export class SubmitJob {
  private readonly limit = new QueueLimit();
  private readonly together: GroupCommit<Submission, Submitted>;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(GPU_ACCOUNTS) private readonly accounts: GpuAccounts,
    @Inject(KnownClusters) private readonly clusters: KnownClusters,
  ) {
    this.together = new GroupCommit({
      commit: (submissions) => this.transactor.do((tx) => this.submitAll(tx, submissions)),
      sizeOf: ({ job }) => 1 + Math.floor(JSON.stringify(job.runner).length / bytesPerSubmission),
      sizeAtMost: submissionsPerCommit,
      atOnce: 1,
    });
  }

  /** In the caller's transaction where one is given: several jobs then exist together or not at all. */
  async execute(job: JobSubmission, tx?: Tx): Promise<Submitted> {
    // The id is made here: should a transaction break after its commit, its repetition finds the same job.
    const submission = { jobId: newId('Job'), job };
    if (tx === undefined) return this.together.submit(submission);
    return present((await this.submitAll(tx, [submission]))[0], 'the answer to a submission');
  }

  /** Each is answered by itself: one that is refused changes nothing. */
  private async submitAll(tx: Tx, submissions: readonly Submission[]): Promise<Submitted[]> {
    const known = await findKnown(tx, submissions);
    // Before anything of the ledger: jobs come first in the order of locks.
    const named = await lockFollowed(
      tx,
      submissions.flatMap(({ job }) => job.after ?? []),
    );
    const quotas = await lockQuotas(tx, [...new Set(submissions.flatMap(({ job }) => quotaKeysOf(job)))]);
    let room = await this.limit.room(tx);
    const fresh: Accepted[] = [];
    const answers: Submitted[] = [];
    for (const submission of submissions) {
      const { jobId, job } = submission;
      const keys = keysOf(job);
      const same = known.get(jobId) ?? keys.map((key) => known.get(key)).find((id) => id !== undefined);
      if (same !== undefined) {
        answers.push(ok({ jobId: same, created: same === jobId }));
        continue;
      }
      const refused =
        refusePast(job, Date.now()) ??
        (await this.refuseImpossible(tx, job)) ??
        (room > 0 ? undefined : queueFull());
      if (refused !== undefined) {
        answers.push(err(refused));
        continue;
      }
      const follows = followOthers(job.after ?? [], named, schedulingLimits.followersPerJob);
      if (follows.kind !== 'follows') {
        answers.push(err(refuseToFollow(follows)));
        continue;
      }
      if (job.unplanned !== undefined && follows.open.length === 0) {
        answers.push(err(justTrained()));
        continue;
      }
      const leastGpus = requestOf(job).gpus;
      const exceeded = quotas.exceededBy(job, leastGpus);
      if (exceeded !== undefined) {
        answers.push(err(quotaExceeded(exceeded, leastGpus)));
        continue;
      }
      const { gpus, maxSeconds, gpuShareMilli } = job.resources;
      const bound = gpuSecondsBound(gpus, maxSeconds, gpuShareMilli);
      const gpuSeconds = job.account === null ? 0 : Math.min(bound, job.gpuSecondsHeld ?? bound);
      if (job.account !== null) {
        const held = await this.accounts.hold(tx, { jobId, account: job.account, gpuSeconds });
        if (!held.ok) {
          answers.push(held);
          continue;
        }
      }
      for (const key of keys) known.set(key, jobId);
      room -= 1;
      quotas.take(job);
      fresh.push({ ...submission, gpuSeconds, follows, gpuQuotas: quotas.gpuQuotasOf(job) });
      answers.push(ok({ jobId, created: true }));
    }
    await insertJobs(tx, fresh);
    if (fresh.length > 0) tx.knock('schedule');
    return answers;
  }

  private async refuseImpossible(tx: Tx, job: JobSubmission): Promise<Refused | undefined> {
    const why = await this.clusters.whyNever(tx, requestOf(job));
    if (why === null) return undefined;
    return problem('scheduling.unschedulable', `No cluster could ever run this job: ${why}`);
  }
}

function refusePast({ deadlineMs }: JobSubmission, nowMs: number): Refused | undefined {
  if (deadlineMs == null || deadlineMs > nowMs) return undefined;
  return problem(
    'scheduling.deadline-past',
    `Its deadline, ${new Date(deadlineMs).toISOString()}, is over already`,
  );
}

function quotaExceeded({ quota, by }: Exceeded, gpus: number): Refused {
  const { scope, subject, maxUnfinishedJobs, maxGpusAtOnce } = quota;
  const whose = `The quota of the ${scope} ${subject}`;
  if (by === 'gpus') {
    return problem(
      'scheduling.quota-exceeded',
      `${whose}: ${maxGpusAtOnce} GPUs at the same time, and this job alone asks for ${gpus}; ask for fewer`,
      { scope, subject, maxGpusAtOnce, gpus },
    );
  }
  return problem(
    'scheduling.quota-exceeded',
    `${whose}: ${maxUnfinishedJobs} unfinished jobs at the same time; submit again when one has ended`,
    { scope, subject, maxUnfinishedJobs },
  );
}

function queueFull(): Refused {
  return problem(
    'scheduling.queue-full',
    `${schedulingLimits.queuedJobs} jobs wait already; try again when some have run`,
  );
}

function refuseToFollow(why: Exclude<Following, { kind: 'follows' }>): Refused {
  const facts = { jobId: why.jobId };
  if (why.kind === 'unknown')
    return problem('resource.not-found', `There is no job ${why.jobId} to follow`, facts);
  if (why.kind === 'crowded') {
    return problem(
      'scheduling.queue-full',
      `${schedulingLimits.followersPerJob} jobs follow ${why.jobId} already`,
      facts,
    );
  }
  return problem(
    'scheduling.dependency-failed',
    `It should follow ${why.jobId}, which ${why.state === 'failed' ? 'failed' : 'was cancelled'}; submit it after one that can succeed`,
    facts,
  );
}

function justTrained(): Refused {
  return problem(
    'catalogue.not-loadable',
    'Its training has just ended and is being recorded; ask again in a moment',
  );
}

function requestOf(job: JobSubmission): JobRequest {
  return {
    kind: job.kind,
    owner: ownerOf(job),
    ...gpuRangeOf({ gpus: job.resources.gpus, gpus_min: leastGpusOf(job.resources) }),
    gpuType: job.resources.gpuType ?? null,
    gpuMemoryMiB: job.resources.gpuMemoryMiB ?? null,
    maxSeconds: job.resources.maxSeconds,
    ...(job.resources.gpuShareMilli === undefined ? {} : { gpuShareMilli: job.resources.gpuShareMilli }),
  };
}

/** Null where it asks for exactly so many. */
function leastGpusOf({ gpus, gpusMin = gpus }: JobResources): number | null {
  return gpusMin < gpus ? gpusMin : null;
}

/**
 * Under what a submission may be known already: the wish of its sender, or the model that it serves. A person gets any job
 * that serves it; a replica is known by its number.
 */
function keysOf(job: JobSubmission): string[] {
  const replica = job.replica === undefined ? '' : `/${job.replica}`;
  return [
    ...(job.requestKey === null ? [] : [`job/${job.requestKey}`]),
    ...(job.kind === 'serve' && job.modelId !== null ? [`serve/${job.modelId}${replica}`] : []),
  ];
}

/**
 * Jobs that are there already, by id and by key. Two requests of one key take turns by a lock that ends with the
 * transaction; all take their locks in one order.
 */
async function findKnown(tx: Tx, submissions: readonly Submission[]): Promise<Map<string, JobId>> {
  const keys = submissions.flatMap(({ job }) => keysOf(job));
  if (keys.length > 0) {
    await tx.rows(
      `SELECT pg_advisory_xact_lock(turn) FROM (
         SELECT DISTINCT hashtextextended(key, 0) AS turn FROM unnest($1::text[]) AS key ORDER BY turn) t`,
      [keys],
    );
  }
  const rows = await tx.rows<{ key: string; id: JobId }>(
    `SELECT id AS key, id FROM scheduling.job WHERE id = ANY ($1)
     UNION ALL
     SELECT 'job/' || request_key, id FROM scheduling.job WHERE request_key = ANY ($2)
     UNION ALL
     SELECT * FROM (SELECT DISTINCT ON (model_id) 'serve/' || model_id, id FROM scheduling.job
       WHERE kind = 'serve' AND model_id = ANY ($3) AND state IN ('queued', 'running')
         AND cancel_requested_at IS NULL AND leaving_at IS NULL ORDER BY model_id, submitted_at) served
     UNION ALL
     SELECT 'serve/' || model_id || '/' || replica, id FROM scheduling.job
       WHERE kind = 'serve' AND model_id = ANY ($3) AND state IN ('queued', 'running')
         AND cancel_requested_at IS NULL AND leaving_at IS NULL AND replica IS NOT NULL`,
    [
      submissions.map(({ jobId }) => jobId),
      submissions.flatMap(({ job }) => (job.requestKey === null ? [] : [job.requestKey])),
      submissions.flatMap(({ job }) => (job.kind === 'serve' && job.modelId !== null ? [job.modelId] : [])),
    ],
  );
  return new Map(rows.map((row) => [row.key, row.id]));
}

async function insertJobs(tx: Tx, submissions: readonly Accepted[]): Promise<void> {
  if (submissions.length === 0) return;
  const rows = submissions.map(({ jobId, job, gpuSeconds, follows, gpuQuotas }) => {
    const request = requestOf(job);
    return {
      id: jobId,
      kind: job.kind,
      name: job.name,
      owner: request.owner,
      lab_id: job.labId,
      suite_id: job.suiteId,
      model_id: job.modelId,
      study_id: job.studyId,
      runner: job.runner,
      inputs: job.inputs,
      gpus: job.resources.gpus,
      gpus_min: leastGpusOf(job.resources),
      gpu_share_milli: request.gpuShareMilli ?? wholeGpuMilli,
      gpu_type: request.gpuType,
      gpu_memory_mib: request.gpuMemoryMiB,
      max_seconds: request.maxSeconds,
      checkpointable: job.resources.checkpoint,
      priority: job.priority,
      shape: markedShape(shapeOf(request), gpuQuotas),
      attempt_limit: job.attemptLimit,
      request_key: job.requestKey,
      account: job.account,
      gpu_seconds_held: gpuSeconds,
      submitted_by: job.submittedBy,
      blocked_by: follows.open.length + (job.unplanned === undefined ? 0 : 1),
      unplanned: job.unplanned ?? null,
      deadline: job.deadlineMs == null ? null : new Date(job.deadlineMs).toISOString(),
      replica: job.replica ?? null,
    };
  });
  await tx.rows(
    `INSERT INTO scheduling.job (${insertedColumns.map(([name]) => name).join(', ')})
     SELECT ${insertedColumns.map(([name]) => name).join(', ')}
     FROM jsonb_to_recordset($1::jsonb) AS e (${insertedColumns.map((column) => column.join(' ')).join(', ')})`,
    [JSON.stringify(rows)],
  );
  await follow(
    tx,
    submissions.flatMap(({ jobId, follows: { open, met } }) => [
      ...open.map((afterJobId) => ({ jobId, afterJobId, isMet: false })),
      ...met.map((afterJobId) => ({ jobId, afterJobId, isMet: true })),
    ]),
  );
  // Who waits for others would wait for them at home, too.
  await enterShadows(
    tx,
    rows
      .filter((row) => row.blocked_by === 0)
      .map(({ id, kind, owner, gpus, gpus_min, shape }) => ({
        ...{ jobId: id, kind, owner, shape },
        gpus: gpus_min ?? gpus,
      })),
  );
  await appendHistoryAll(
    tx,
    submissions.map(({ jobId, job }) => ({
      jobId,
      attempt: null,
      subject: 'job',
      from: null,
      to: 'queued',
      actor: job.submittedBy,
      reason: null,
    })),
  );
}

const insertedColumns = [
  ['id', 'text'],
  ['kind', 'text'],
  ['name', 'text'],
  ['owner', 'text'],
  ['lab_id', 'text'],
  ['suite_id', 'text'],
  ['model_id', 'text'],
  ['study_id', 'text'],
  ['runner', 'jsonb'],
  ['inputs', 'jsonb'],
  ['gpus', 'int'],
  ['gpus_min', 'int'],
  ['gpu_share_milli', 'int'],
  ['gpu_type', 'text'],
  ['gpu_memory_mib', 'int'],
  ['max_seconds', 'int'],
  ['checkpointable', 'boolean'],
  ['priority', 'int'],
  ['shape', 'text'],
  ['attempt_limit', 'int'],
  ['request_key', 'text'],
  ['account', 'jsonb'],
  ['gpu_seconds_held', 'bigint'],
  ['submitted_by', 'text'],
  ['blocked_by', 'int'],
  ['unplanned', 'jsonb'],
  ['deadline', 'timestamptz'],
  ['replica', 'int'],
] as const;
