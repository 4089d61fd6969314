import type { Tx } from '@beamtime/platform';
import type { NamedJob } from '../domain/follow-others.js';

/**
 * The jobs that submissions name, locked in the order of their ids until the submissions are written: a job that ends
 * meanwhile waits, and then finds its followers.
 */
export async function lockFollowed(tx: Tx, jobIds: readonly string[]): Promise<Map<string, NamedJob>> {
  if (jobIds.length === 0) return new Map();
  const rows = await tx.rows<NamedJob>(
    `SELECT id AS "jobId", state, followers FROM scheduling.job WHERE id = ANY ($1)
     ORDER BY id FOR NO KEY UPDATE`,
    [[...new Set(jobIds)]],
  );
  return new Map(rows.map((row) => [row.jobId, row]));
}

/** Writes down which job follows which; the followed ones are locked. */
export async function follow(
  tx: Tx,
  pairs: readonly { readonly jobId: string; readonly afterJobId: string; readonly isMet: boolean }[],
): Promise<void> {
  if (pairs.length === 0) return;
  await tx.rows(
    `WITH added AS (
       INSERT INTO scheduling.dependency (job_id, after_job_id, met_at)
       SELECT job_id, after_job_id, CASE WHEN is_met THEN now() END
       FROM unnest($1::text[], $2::text[], $3::boolean[]) AS e (job_id, after_job_id, is_met)
       RETURNING after_job_id
     )
     UPDATE scheduling.job j SET followers = j.followers + a.n
     FROM (SELECT after_job_id, count(*)::int AS n FROM added GROUP BY after_job_id) a WHERE j.id = a.after_job_id`,
    [pairs.map((one) => one.jobId), pairs.map((one) => one.afterJobId), pairs.map((one) => one.isMet)],
  );
}
