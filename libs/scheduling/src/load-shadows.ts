import type { Tx } from '@beamtime/platform';
import { siloLookAhead } from './domain/shares/shadow-silo.js';
import type { EndedShadow } from './domain/snapshot.js';
import { msOf } from './snapshot-columns.js';

/**
 * Ids of the jobs that the schedule of a lab alone would run or look at: a lab alone looks no further down its queue
 * than `siloLookAhead`, so these are few, however many wait.
 */
export const shadowsInView = `
  SELECT job_id FROM scheduling.shadow WHERE started_at IS NOT NULL
  UNION ALL
  SELECT w.job_id FROM (SELECT DISTINCT owner FROM scheduling.shadow WHERE started_at IS NULL) o
  CROSS JOIN LATERAL (
    SELECT job_id FROM scheduling.shadow s WHERE s.started_at IS NULL AND s.owner = o.owner
    ORDER BY submitted_at, job_id LIMIT ${siloLookAhead}
  ) w`;

/** Jobs that have ended and still stand in the way of others in the schedule of their lab alone. */
export async function loadEndedShadows(tx: Tx): Promise<EndedShadow[]> {
  const rows = await tx.rows<{
    job_id: string;
    owner: string;
    gpus: number;
    submitted_ms: number;
    cluster_id: string | null;
    started_ms: number | null;
    served_ms: number;
    seconds_used: number;
  }>(
    `SELECT s.job_id, s.owner, s.gpus, ${msOf('s.submitted_at')} AS submitted_ms, s.cluster_id,
       ${msOf('s.started_at')} AS started_ms, s.served_ms::float8 AS served_ms, j.seconds_used
     FROM (${shadowsInView}) v JOIN scheduling.shadow s USING (job_id)
     JOIN scheduling.job j ON j.id = s.job_id AND j.state IN ('succeeded', 'failed', 'cancelled')`,
  );
  return rows.map((row) => ({
    jobId: row.job_id,
    owner: row.owner,
    gpus: row.gpus,
    submittedMs: row.submitted_ms,
    clusterId: row.cluster_id,
    startedMs: row.started_ms,
    servedMs: row.served_ms,
    totalMs: row.seconds_used * 1000,
  }));
}
