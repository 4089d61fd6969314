import {
  type FileEntry,
  type GpuAccountRef,
  type JobResources,
  type ProblemCode,
  type RunnerTemplate,
  schedulingLimits,
} from '@beamtime/contracts';
import { err, type JobId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { gpuSecondsBound } from './domain/gpu-seconds.js';
import { whyNever } from './domain/judge-cluster.js';
import { consortium, type JobKind, type Owner } from './domain/snapshot.js';
import { loadClusters } from './load-snapshot.js';
import { GPU_ACCOUNTS, type GpuAccounts } from './ports.js';
import { appendHistory } from './postgres/job-records.js';

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

/** Puts a job into the queue, with its GPU-seconds held, or says at once why it can never run. */
@Injectable()
export class SubmitJob {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(GPU_ACCOUNTS) private readonly accounts: GpuAccounts,
  ) {}

  /** In the caller's transaction where one is given: several jobs then exist together or not at all. */
  execute(submission: JobSubmission, tx?: Tx): Promise<Result<SubmittedJob, Refused>> {
    const work = (inner: Tx): Promise<Result<SubmittedJob, Refused>> => this.submit(inner, submission);
    return tx === undefined ? this.transactor.run(work) : work(tx);
  }

  private async submit(tx: Tx, submission: JobSubmission): Promise<Result<SubmittedJob, Refused>> {
    const known = await this.findKnown(tx, submission);
    if (known !== undefined) return ok({ jobId: known, created: false });
    const refused = (await this.refuseImpossible(tx, submission)) ?? (await refuseFullQueue(tx));
    if (refused !== undefined) return err(refused);
    const jobId = newId('Job');
    const { gpus, maxSeconds } = submission.resources;
    const bound = gpuSecondsBound(gpus, maxSeconds);
    const gpuSeconds = submission.account === null ? 0 : Math.min(bound, submission.gpuSecondsHeld ?? bound);
    await insertJob(tx, jobId, submission, gpuSeconds);
    await enterShadow(tx, jobId, submission);
    if (submission.account !== null) {
      const held = await this.accounts.hold(tx, { jobId, account: submission.account, gpuSeconds });
      if (!held.ok) return held;
    }
    await appendHistory(tx, {
      jobId,
      attempt: null,
      subject: 'job',
      from: null,
      to: 'queued',
      actor: submission.submittedBy,
      reason: null,
    });
    tx.knock('schedule');
    return ok({ jobId, created: true });
  }

  /** Two requests of one key, or for one served model, take turns by a lock that ends with the transaction. */
  private async findKnown(tx: Tx, submission: JobSubmission): Promise<JobId | undefined> {
    if (submission.requestKey !== null) {
      await tx.rows('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
        `job/${submission.requestKey}`,
      ]);
      const job = await tx.row<{ id: JobId }>('SELECT id FROM scheduling.job WHERE request_key = $1', [
        submission.requestKey,
      ]);
      if (job !== undefined) return job.id;
    }
    if (submission.kind === 'serve' && submission.modelId !== null) {
      await tx.rows('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`serve/${submission.modelId}`]);
      const job = await tx.row<{ id: JobId }>(
        `SELECT id FROM scheduling.job WHERE kind = 'serve' AND model_id = $1 AND state IN ('queued', 'running')
         AND cancel_requested_at IS NULL ORDER BY submitted_at LIMIT 1`,
        [submission.modelId],
      );
      if (job !== undefined) return job.id;
    }
    return undefined;
  }

  private async refuseImpossible(tx: Tx, submission: JobSubmission): Promise<Refused | undefined> {
    const { resources } = submission;
    const why = whyNever(await loadClusters(tx), {
      kind: submission.kind,
      owner: ownerOf(submission),
      gpus: resources.gpus,
      gpuType: resources.gpuType ?? null,
      gpuMemoryMiB: resources.gpuMemoryMiB ?? null,
      maxSeconds: resources.maxSeconds,
    });
    if (why === null) return undefined;
    return problem('scheduling.unschedulable', `No cluster could ever run this job: ${why}`);
  }
}

async function refuseFullQueue(tx: Tx): Promise<Refused | undefined> {
  const full = await tx.rows(`SELECT 1 FROM scheduling.job WHERE state = 'queued' OFFSET $1 LIMIT 1`, [
    schedulingLimits.queuedJobs - 1,
  ]);
  if (full.length === 0) return undefined;
  return problem(
    'scheduling.queue-full',
    `${schedulingLimits.queuedJobs} jobs wait already; try again when some have run`,
  );
}

async function insertJob(tx: Tx, jobId: JobId, submission: JobSubmission, gpuSeconds: number): Promise<void> {
  const { resources } = submission;
  await tx.rows(
    `INSERT INTO scheduling.job (id, kind, name, owner, lab_id, suite_id, model_id, study_id, runner, inputs, gpus,
       gpu_type, gpu_memory_mib, max_seconds, checkpointable, priority, attempt_limit, request_key, account,
       gpu_seconds_held, submitted_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
    [
      jobId,
      submission.kind,
      submission.name,
      ownerOf(submission),
      submission.labId,
      submission.suiteId,
      submission.modelId,
      submission.studyId,
      JSON.stringify(submission.runner),
      JSON.stringify(submission.inputs),
      resources.gpus,
      resources.gpuType ?? null,
      resources.gpuMemoryMiB ?? null,
      resources.maxSeconds,
      resources.checkpoint,
      submission.priority,
      submission.attemptLimit,
      submission.requestKey,
      submission.account === null ? null : JSON.stringify(submission.account),
      gpuSeconds,
      submission.submittedBy,
    ],
  );
}

/** A lab's job takes its place in the schedule that the lab would have had alone; what only serves has none. */
async function enterShadow(tx: Tx, jobId: JobId, submission: JobSubmission): Promise<void> {
  if (ownerOf(submission) === consortium || submission.kind === 'serve') return;
  await tx.rows(
    'INSERT INTO scheduling.shadow (job_id, owner, gpus, submitted_at) VALUES ($1, $2, $3, now())',
    [jobId, ownerOf(submission), submission.resources.gpus],
  );
}
