import type { Tx } from '@beamtime/platform';
import { siloLookAhead } from './domain/shares/shadow-silo.js';
import type { LoneShadow } from './domain/snapshot.js';
import { msOf } from './snapshot-columns.js';

/**
 * What the schedules of the labs alone run, or would look at next: a lab alone looks no further down its queue than
 * `siloLookAhead`, so these are few, however many wait. Owners are found by hops over the index.
 */
const shadowsInView = `
  WITH RECURSIVE o (owner) AS (
    (SELECT owner FROM scheduling.shadow WHERE started_at IS NULL ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT n.owner FROM o, LATERAL (
      SELECT owner FROM scheduling.shadow WHERE started_at IS NULL AND owner > o.owner ORDER BY owner LIMIT 1) n
  ), in_view AS MATERIALIZED (
    SELECT * FROM scheduling.shadow WHERE started_at IS NOT NULL
    UNION ALL
    SELECT w.* FROM o CROSS JOIN LATERAL (
      SELECT * FROM scheduling.shadow s WHERE s.started_at IS NULL AND s.owner = o.owner
      ORDER BY submitted_at, job_id LIMIT ${siloLookAhead}
    ) w
  )`;

/** The shadows in view, each with how its job stands: it waits, runs, or has ended. */
export interface ShadowInView extends LoneShadow {
  readonly isRunning: boolean;
}

export async function loadShadowsInView(tx: Tx): Promise<ShadowInView[]> {
  const rows = await tx.rows<{
    job_id: string;
    owner: string;
    gpus: number;
    submitted_ms: number;
    cluster_id: string | null;
    started_ms: number | null;
    served_ms: number;
    state: string;
    seconds_used: number;
  }>(
    `${shadowsInView}
     SELECT s.job_id, s.owner, s.gpus, ${msOf('s.submitted_at')} AS submitted_ms, s.cluster_id,
       ${msOf('s.started_at')} AS started_ms, s.served_ms::float8 AS served_ms, j.state, j.seconds_used
     FROM in_view s JOIN scheduling.job j ON j.id = s.job_id`,
  );
  return rows.map((row) => ({
    jobId: row.job_id,
    owner: row.owner,
    gpus: row.gpus,
    submittedMs: row.submitted_ms,
    clusterId: row.cluster_id,
    startedMs: row.started_ms,
    servedMs: row.served_ms,
    totalMs: row.state === 'queued' || row.state === 'running' ? null : row.seconds_used * 1000,
    isRunning: row.state === 'running',
  }));
}
