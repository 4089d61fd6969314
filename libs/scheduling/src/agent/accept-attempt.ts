import {
  type AttemptAssignment,
  commandJob,
  commandJobSchemaName,
  type FileEntry,
  type ProblemCode,
  runnerJob,
  runnerJobSchemaName,
  runnerResumeDir,
  type StagedInput,
} from '@beamtime/contracts';
import { ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { isLive } from '../domain/attempt-lifecycle.js';
import { EndAttempt } from '../end-attempt.js';
import { JOB_FILES, type JobFiles, LEASE_TIMES, type LeaseTimes } from '../ports.js';
import { appendHistory, type JobRecord } from '../postgres/job-records.js';
import { avoid } from '../sweep.js';
import { doubtCapacity } from '../trust-capacity.js';
import { type AttemptClaim, fenced, holdAttempt } from './fence.js';

interface Taken {
  readonly job: JobRecord;
  readonly runner: Record<string, unknown>;
  readonly inputs: readonly FileEntry[];
}

function jobFile(
  job: JobRecord,
  attempt: number,
  template: Record<string, unknown>,
): AttemptAssignment['runner'] {
  const head = { ...template, jobId: job.id, attempt };
  return job.kind === 'command'
    ? commandJob.parse({ ...head, schema: commandJobSchemaName })
    : runnerJob.parse({ ...head, schema: runnerJobSchemaName });
}

/** An agent takes an offer: its lease begins, and it hears what to stage and run. Asked again, it hears it again. */
@Injectable()
export class AcceptAttempt {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
    @Inject(JOB_FILES) private readonly files: JobFiles,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
  ) {}

  async accept(claim: AttemptClaim): Promise<Result<AttemptAssignment, Problem<ProblemCode>>> {
    const taken = await this.take(claim);
    if (!taken.ok) return taken;
    const { job, runner, inputs } = taken.value;
    const resume = job.resumable;
    return ok({
      runner: jobFile(job, claim.attempt, runner),
      inputs: await this.staged(inputs, ''),
      resume:
        resume === null
          ? null
          : { step: resume.step, files: await this.staged(resume.files, `${runnerResumeDir}/`) },
      resources: {
        gpus: job.gpus,
        ...(job.gpu_type === null ? {} : { gpuType: job.gpu_type }),
        ...(job.gpu_memory_mib === null ? {} : { gpuMemoryMiB: job.gpu_memory_mib }),
        maxSeconds: job.max_seconds,
        checkpoint: job.checkpointable,
      },
      secondsLeft: Math.max(1, job.max_seconds - job.seconds_used),
      modelId: job.model_id,
    });
  }

  private take(claim: AttemptClaim): Promise<Result<Taken, Problem<ProblemCode>>> {
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim, isLive);
      if (!held.ok) return held;
      const { job, attempt } = held.value;
      if (attempt.state === 'offered') {
        if (job.cancel_requested_at !== null) {
          return { ok: false, error: fenced(claim, 'was cancelled') };
        }
        await tx.rows(
          `UPDATE scheduling.attempt SET state = 'accepted', incarnation = $3, accepted_at = now(), renewed_at = now(),
             lease_expires_at = now() + $4 * interval '1 millisecond'
           WHERE job_id = $1 AND number = $2`,
          [job.id, attempt.number, claim.incarnation, this.times.leaseTtlMs],
        );
        await tx.rows(
          'UPDATE scheduling.job SET started_at = coalesce(started_at, now()), updated_at = now() WHERE id = $1',
          [job.id],
        );
        await appendHistory(tx, {
          jobId: job.id,
          attempt: attempt.number,
          subject: 'attempt',
          from: 'offered',
          to: 'accepted',
          actor: claim.clusterId,
          reason: null,
        });
      }
      const work = await tx.row<{ runner: Record<string, unknown>; inputs: FileEntry[] }>(
        'SELECT runner, inputs FROM scheduling.job WHERE id = $1',
        [job.id],
      );
      return ok({ job, runner: work?.runner ?? {}, inputs: work?.inputs ?? [] });
    });
  }

  private staged(files: readonly FileEntry[], folder: string): Promise<StagedInput[]> {
    return Promise.all(
      files.map(async (file) => ({
        path: `${folder}${file.path}`,
        sizeBytes: file.sizeBytes,
        sha256: file.sha256,
        url: await this.files.downloadUrl(file.objectKey),
      })),
    );
  }

  /** The cluster's own policy refuses: the job goes elsewhere, and to this cluster not again for a while. */
  async decline(
    claim: AttemptClaim,
    reason: string,
    code: 'policy' | 'capacity' | 'draining' = 'policy',
  ): Promise<Result<void, Problem<ProblemCode>>> {
    const gpus = await this.transactor.run<number, Problem<ProblemCode>>(async (tx) => {
      const held = await holdAttempt(tx, claim, (state) => state === 'offered');
      if (!held.ok) return held;
      const { job, attempt } = held.value;
      await avoid(tx, job.id, claim.clusterId, reason);
      await this.endAttempt.end(tx, job, attempt, {
        state: 'expired',
        reason: `declined: ${reason}`,
        exitCode: null,
        retriable: true,
        actor: claim.clusterId,
      });
      return ok(attempt.gpus);
    });
    if (!gpus.ok) return gpus;
    // By itself: the cluster's row is locked before its jobs, never after.
    if (code === 'capacity') await this.transactor.do((tx) => doubtCapacity(tx, claim.clusterId, gpus.value));
    return ok(undefined);
  }
}
