import type { JobState } from './job-lifecycle.js';

/** A job that a submission names, as it stands under its lock. */
export interface NamedJob {
  readonly jobId: string;
  readonly state: JobState;
  readonly followers: number;
}

export type Following =
  /** `open` have not ended yet, `met` have succeeded. */
  | { readonly kind: 'follows'; readonly open: readonly string[]; readonly met: readonly string[] }
  | { readonly kind: 'unknown'; readonly jobId: string }
  | { readonly kind: 'never'; readonly jobId: string; readonly state: 'failed' | 'cancelled' }
  | { readonly kind: 'crowded'; readonly jobId: string };

/**
 * What it means to follow these jobs now. All of them exist already, so that no job can follow itself, not even by a
 * detour.
 */
export function followOthers(
  named: readonly string[],
  known: ReadonlyMap<string, NamedJob>,
  followersMost: number,
): Following {
  const open: string[] = [];
  const met: string[] = [];
  for (const jobId of new Set(named)) {
    const job = known.get(jobId);
    if (job === undefined) return { kind: 'unknown', jobId };
    if (job.state === 'failed' || job.state === 'cancelled')
      return { kind: 'never', jobId, state: job.state };
    if (job.followers >= followersMost) return { kind: 'crowded', jobId };
    (job.state === 'succeeded' ? met : open).push(jobId);
  }
  return { kind: 'follows', open, met };
}

/** Why a job is cancelled with one that it follows. */
export function whyCancelled(after: {
  readonly jobId: string;
  readonly state: 'failed' | 'cancelled';
}): string {
  return `it follows ${after.jobId}, which ${after.state === 'failed' ? 'failed' : 'was cancelled'}`;
}
