import { present } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { whyCancelled } from '../domain/follow-others.js';
import type { JobKind, Owner } from '../domain/snapshot.js';
import { type JobRecord, lockJobs } from '../postgres/job-records.js';
import { enterShadows } from '../shadows/enter-shadows.js';

interface Ended {
  readonly jobId: string;
  readonly state: 'succeeded' | 'failed' | 'cancelled';
}

/** What blocks these jobs is less by `n`; those that nothing blocks any more are candidates from now on. */
export async function unblock(
  tx: Tx,
  jobs: readonly { readonly jobId: string; readonly n: number }[],
): Promise<void> {
  if (jobs.length === 0) return;
  const rows = await tx.rows<{
    jobId: string;
    kind: JobKind;
    owner: Owner;
    gpus: number;
    shape: string;
    blocked_by: number;
  }>(
    `UPDATE scheduling.job j SET blocked_by = j.blocked_by - e.n, queued_at = now(), updated_at = now()
     FROM unnest($1::text[], $2::int[]) AS e (id, n) WHERE j.id = e.id AND j.state = 'queued'
     RETURNING j.id AS "jobId", j.kind, j.owner, coalesce(j.gpus_min, j.gpus) AS gpus, j.shape, j.blocked_by`,
    [jobs.map(({ jobId }) => jobId), jobs.map(({ n }) => n)],
  );
  const free = rows.filter((row) => row.blocked_by === 0);
  await enterShadows(tx, free);
  if (free.length > 0) tx.knock('schedule');
}

/**
 * Jobs that have just ended, and are locked, let go those that follow them: after a success they wait for one less.
 * Each pair counts once, however often this is said. Answers those that can never start now, with the reason: they are
 * locked and still to be ended.
 */
export async function releaseFollowers(
  tx: Tx,
  ended: readonly Ended[],
): Promise<{ readonly job: JobRecord; readonly reason: string }[]> {
  const succeeded = ended.filter(({ state }) => state === 'succeeded').map(({ jobId }) => jobId);
  if (succeeded.length > 0) {
    const met = await tx.rows<{ job_id: string }>(
      `UPDATE scheduling.dependency SET met_at = now() WHERE after_job_id = ANY ($1) AND met_at IS NULL
       RETURNING job_id`,
      [succeeded],
    );
    const counts = new Map<string, number>();
    for (const { job_id } of met) counts.set(job_id, (counts.get(job_id) ?? 0) + 1);
    await lockJobs(tx, [...counts.keys()]);
    await unblock(
      tx,
      [...counts].map(([jobId, n]) => ({ jobId, n })),
    );
  }
  return findForlorn(
    tx,
    ended.filter(({ state }) => state !== 'succeeded'),
  );
}

/** All that follow these, and those that follow them, locked; looked at again until nobody has joined meanwhile. */
async function findForlorn(
  tx: Tx,
  ended: readonly Ended[],
): Promise<{ readonly job: JobRecord; readonly reason: string }[]> {
  if (ended.length === 0) return [];
  const states = new Map(ended.map(({ jobId, state }) => [jobId, state]));
  const forlorn = new Map<string, { job: JobRecord; reason: string }>();
  for (const seen = new Set<string>(); ; ) {
    const pairs = await tx.rows<{ job_id: string; after_job_id: string }>(
      `WITH RECURSIVE f (job_id, after_job_id) AS (
         SELECT job_id, after_job_id FROM scheduling.dependency WHERE after_job_id = ANY ($1) AND met_at IS NULL
         UNION
         SELECT d.job_id, d.after_job_id FROM f JOIN scheduling.dependency d
           ON d.after_job_id = f.job_id AND d.met_at IS NULL
       ) SELECT job_id, min(after_job_id) AS after_job_id FROM f GROUP BY job_id ORDER BY job_id`,
      [ended.map(({ jobId }) => jobId)],
    );
    const fresh = pairs.filter(({ job_id }) => !seen.has(job_id));
    if (fresh.length === 0) return [...forlorn.values()];
    const locked = await lockJobs(
      tx,
      fresh.map(({ job_id }) => job_id),
    );
    for (const { job_id, after_job_id } of fresh) {
      seen.add(job_id);
      const job = present(locked.get(job_id), 'a job that follows another');
      // Whoever cancelled it before has told those that follow it.
      if (job.state !== 'queued') continue;
      const state = states.get(after_job_id) === 'failed' ? ('failed' as const) : ('cancelled' as const);
      forlorn.set(job_id, { job, reason: whyCancelled({ jobId: after_job_id, state }) });
    }
  }
}
