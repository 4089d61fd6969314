import type { Tx } from '@beamtime/platform';
import { siloLookAhead } from './domain/shares/shadow-silo.js';
import type { EndedShadow, SnapshotShadow } from './domain/snapshot.js';

/** What a query selects of scheduling.shadow, beside a job. */
export interface ShadowColumns {
  shadowed: boolean;
  shadow_cluster_id: string | null;
  shadow_started_at: Date | null;
  shadow_served_ms: string | null;
}

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

export function shadowOf(row: ShadowColumns): { shadow?: SnapshotShadow } {
  if (!row.shadowed) return {};
  return {
    shadow: {
      clusterId: row.shadow_cluster_id,
      startedMs: row.shadow_started_at?.getTime() ?? null,
      servedMs: Number(row.shadow_served_ms ?? 0),
    },
  };
}

/** Jobs that have ended and still stand in the way of others in the schedule of their lab alone. */
export async function loadEndedShadows(tx: Tx): Promise<EndedShadow[]> {
  const rows = await tx.rows<{
    job_id: string;
    owner: string;
    gpus: number;
    submitted_at: Date;
    cluster_id: string | null;
    started_at: Date | null;
    served_ms: string;
    seconds_used: number;
  }>(
    `SELECT s.job_id, s.owner, s.gpus, s.submitted_at, s.cluster_id, s.started_at, s.served_ms, j.seconds_used
     FROM (${shadowsInView}) v JOIN scheduling.shadow s USING (job_id)
     JOIN scheduling.job j ON j.id = s.job_id AND j.state IN ('succeeded', 'failed', 'cancelled')`,
  );
  return rows.map((row) => ({
    jobId: row.job_id,
    owner: row.owner,
    gpus: row.gpus,
    submittedMs: row.submitted_at.getTime(),
    clusterId: row.cluster_id,
    startedMs: row.started_at?.getTime() ?? null,
    servedMs: Number(row.served_ms),
    totalMs: row.seconds_used * 1000,
  }));
}
