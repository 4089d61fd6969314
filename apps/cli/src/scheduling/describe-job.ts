import type { AttemptView, FollowedJob, JobView } from '@beamtime/contracts';
import { formatFields, formatTable } from '../core/format-table.js';

/** How far a job is, in a few words. */
export function progressText(job: JobView): string {
  const { progress } = job;
  if (job.state === 'queued' && job.blockedBy > 0) return 'waiting for other jobs';
  if (job.state === 'queued') return job.attempts === 0 ? 'waiting' : 'waiting to go on';
  if (job.state !== 'running') return job.reason ?? '';
  if (progress === null) return job.attemptState ?? '';
  const percent = progress.fraction === null ? '' : `${Math.floor(progress.fraction * 100)} %`;
  const loss = progress.loss === null ? '' : `loss ${progress.loss.toFixed(3)}`;
  return [job.attemptState === 'running' ? progress.phase : job.attemptState, percent, loss]
    .filter((part) => part !== null && part !== '')
    .join(' ');
}

/** `2`, or `25 %` of one, or `2 to 8` of an elastic job. */
function gpusText({ resources: { gpus, gpusMin = gpus, gpuShareMilli = 1_000 } }: JobView): string {
  if (gpuShareMilli < 1_000) return `${gpuShareMilli / 10} %`;
  return gpusMin < gpus ? `${gpusMin} to ${gpus}` : String(gpus);
}

export function jobsTable(jobs: readonly JobView[]): string {
  return formatTable(
    ['job', 'kind', 'name', 'state', 'GPUs', 'cluster', 'attempt', 'progress'],
    jobs.map((job) => [
      job.jobId,
      job.kind,
      job.name,
      job.cancelRequested && job.state === 'running' ? 'cancelling' : job.state,
      gpusText(job),
      job.clusterName,
      job.attempts,
      progressText(job).slice(0, 60),
    ]),
    'No jobs.',
  );
}

export function describeJob(
  job: JobView & { readonly history: readonly AttemptView[]; readonly follows?: readonly FollowedJob[] },
): string {
  const fields = formatFields({
    job: job.jobId,
    name: job.name,
    kind: job.kind,
    state: job.reason === null ? job.state : `${job.state}: ${job.reason}`,
    progress: job.state === 'running' ? progressText(job) : null,
    lab: job.labId,
    suite: job.suiteId,
    model: job.modelId,
    needs: `${gpusText(job)}${(job.resources.gpuShareMilli ?? 1_000) < 1_000 ? ' of a' : ''} GPU${job.resources.gpuType === undefined ? '' : ` ${job.resources.gpuType}`}, at most ${job.resources.maxSeconds} s`,
    'GPU-seconds': gpuSecondsText(job),
    checkpoints:
      job.lastCheckpointStep === null ? 'none' : `${job.checkpoints}, last at step ${job.lastCheckpointStep}`,
    'can resume at': job.resumableStep === null ? null : `step ${job.resumableStep}`,
    'submitted by': job.submittedBy,
    follows: job.follows?.map((one) => `${one.jobId} (${one.state})`).join(', ') || null,
    deadline: job.deadline,
    submitted: job.submittedAt,
    ended: job.endedAt,
  });
  const attempts = formatTable(
    ['attempt', 'cluster', 'GPUs', 'state', 'resumed at', 'GPU-seconds', 'why'],
    job.history.map((one) => [
      one.attempt,
      one.clusterName,
      one.gpus,
      one.state,
      one.resumedFromStep,
      one.gpuSeconds,
      one.reason?.split('\n')[0]?.slice(0, 90),
    ]),
    'No attempt yet; `beamtime job why` says what it waits for.',
  );
  return `${fields}\n\n${attempts}`;
}

/** A job of a suite holds its estimate, so it may use more; the rest is charged to the suite as far as that reaches. */
function gpuSecondsText({ gpuSecondsUsed, gpuSecondsHeld }: JobView): string {
  const over = gpuSecondsUsed - gpuSecondsHeld;
  if (over <= 0) return `${gpuSecondsUsed} used of ${gpuSecondsHeld} held`;
  return `${gpuSecondsUsed} used by all attempts, ${over} more than the ${gpuSecondsHeld} held for the job`;
}
