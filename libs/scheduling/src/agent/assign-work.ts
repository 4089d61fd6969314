import {
  type AttemptAssignment,
  commandJob,
  commandJobSchemaName,
  type FileEntry,
  runnerJob,
  runnerJobSchemaName,
  runnerResumeDir,
  type StagedInput,
  schedulingLimits,
} from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import { boundWithSome } from '../domain/elastic.js';
import { wholeGpuMilli } from '../domain/gpu-share.js';
import type { JobFiles } from '../ports.js';
import type { JobRecord } from '../postgres/job-records.js';

/** The two large columns of a job, read only for those that an agent has just accepted. */
export interface JobWork {
  readonly id: string;
  readonly runner: Record<string, unknown>;
  readonly inputs: readonly FileEntry[];
}

export async function readWork(tx: Tx, jobIds: readonly string[]): Promise<Map<string, JobWork>> {
  if (jobIds.length === 0) return new Map();
  const rows = await tx.rows<JobWork>('SELECT id, runner, inputs FROM scheduling.job WHERE id = ANY ($1)', [
    [...jobIds],
  ]);
  return new Map(rows.map((row) => [row.id, row]));
}

/**
 * What an agent is to stage and run for a job's present attempt, with URLs that are good for a while.
 *
 * @param gpus those of the attempt
 */
export async function assignWork(
  files: JobFiles,
  job: JobRecord,
  gpus: number,
  work: JobWork,
): Promise<AttemptAssignment> {
  const { resumable } = job;
  const secondsWith = (seconds: number): number =>
    boundWithSome(seconds, gpus, job.gpus, schedulingLimits.maxSeconds);
  return {
    runner: jobFile(job, gpus, work),
    inputs: await staged(files, work.inputs, ''),
    resume:
      resumable === null
        ? null
        : { step: resumable.step, files: await staged(files, resumable.files, `${runnerResumeDir}/`) },
    resources: {
      gpus,
      ...(job.gpu_share_milli === wholeGpuMilli ? {} : { gpuShareMilli: job.gpu_share_milli }),
      ...(job.gpu_type === null ? {} : { gpuType: job.gpu_type }),
      ...(job.gpu_memory_mib === null ? {} : { gpuMemoryMiB: job.gpu_memory_mib }),
      maxSeconds: secondsWith(job.max_seconds),
      checkpoint: job.checkpointable,
    },
    secondsLeft: Math.max(1, secondsWith(job.max_seconds - job.seconds_used)),
    modelId: job.model_id as AttemptAssignment['modelId'],
  };
}

function jobFile(job: JobRecord, gpus: number, work: JobWork): AttemptAssignment['runner'] {
  const head = { ...work.runner, jobId: job.id, attempt: job.attempts };
  if (job.kind === 'command') return commandJob.parse({ ...head, schema: commandJobSchemaName });
  // With all its GPUs it has as many processes as seats: runners that know of no seats need not be told.
  const seats = job.kind === 'train' && gpus < job.gpus ? { seats: job.gpus } : {};
  // A job file that names its seats itself keeps them, or its state would be another run's.
  return runnerJob.parse({ ...seats, ...head, schema: runnerJobSchemaName });
}

function staged(files: JobFiles, entries: readonly FileEntry[], folder: string): Promise<StagedInput[]> {
  return Promise.all(
    entries.map(async (file) => ({
      path: `${folder}${file.path}`,
      sizeBytes: file.sizeBytes,
      sha256: file.sha256,
      url: await files.downloadUrl(file.objectKey),
    })),
  );
}
