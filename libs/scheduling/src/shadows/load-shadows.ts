import type { Tx } from '@beamtime/platform';
import { timeWithSome } from '../domain/elastic.js';
import { siloLookAhead } from '../domain/shares/shadow-silo.js';
import type { LoneShadow, SnapshotCluster } from '../domain/snapshot.js';
import { msOf } from '../postgres/snapshot-columns.js';

/** What the schedules of the labs alone run. */
const running = 'SELECT * FROM scheduling.shadow WHERE started_at IS NOT NULL';

/**
 * What they would look at next: a lab alone looks no further down its queue than `siloLookAhead`, so these are few,
 * however many wait. Owners are found by hops over the index; those of $1 are left out.
 */
const waiting = `
  SELECT w.* FROM (
    WITH RECURSIVE o (owner) AS (
      (SELECT owner FROM scheduling.shadow WHERE started_at IS NULL ORDER BY owner LIMIT 1)
      UNION ALL
      SELECT n.owner FROM o, LATERAL (
        SELECT owner FROM scheduling.shadow WHERE started_at IS NULL AND owner > o.owner ORDER BY owner LIMIT 1) n
    ) SELECT owner FROM o WHERE owner <> ALL ($1)
  ) o CROSS JOIN LATERAL (
    SELECT * FROM scheduling.shadow s WHERE s.started_at IS NULL AND s.owner = o.owner
    ORDER BY submitted_at, job_id LIMIT ${siloLookAhead}
  ) w`;

/** The shadows in view, each with how its job stands: it waits, runs, or has ended. */
export interface ShadowInView extends LoneShadow {
  readonly isRunning: boolean;
}

/** The shadows that run. */
export function readStartedShadows(tx: Tx): Promise<ShadowInView[]> {
  return readShadows(tx, running);
}

/**
 * The shadows that wait, of labs where something could start alone by now: where all GPUs are taken there, and nothing
 * there ends yet, they are left where they are.
 */
export function readNextShadows(
  tx: Tx,
  clusters: readonly SnapshotCluster[],
  started: readonly ShadowInView[],
  nowMs: number,
): Promise<ShadowInView[]> {
  return readShadows(tx, waiting, [ownersWithoutRoom(clusters, started, nowMs)]);
}

function ownersWithoutRoom(
  clusters: readonly SnapshotCluster[],
  started: readonly ShadowInView[],
  nowMs: number,
): string[] {
  const free = new Map<string, number>();
  for (const { labId, state, capacity } of clusters) {
    if (state !== 'retired') free.set(labId, (free.get(labId) ?? 0) + (capacity?.gpus ?? 0));
  }
  for (const { owner, gpus, gpusMost = gpus, startedMs, servedMs, totalMs } of started) {
    const lackingMs =
      totalMs === null ? Number.POSITIVE_INFINITY : timeWithSome(totalMs - servedMs, gpus, gpusMost);
    const endsMs = (startedMs ?? nowMs) + lackingMs;
    if (endsMs > nowMs) free.set(owner, (free.get(owner) ?? 0) - gpus);
  }
  return [...free].filter(([, gpus]) => gpus <= 0).map(([owner]) => owner);
}

async function readShadows(
  tx: Tx,
  which: string,
  parameters: readonly unknown[] = [],
): Promise<ShadowInView[]> {
  const rows = await tx.rows<{
    job_id: string;
    owner: string;
    gpus: number;
    gpus_most: number;
    submitted_ms: number;
    cluster_id: string | null;
    started_ms: number | null;
    served_ms: number;
    state: string;
    seconds_used: number;
  }>(
    `SELECT s.job_id, s.owner, s.gpus, ${msOf('s.submitted_at')} AS submitted_ms, s.cluster_id,
       ${msOf('s.started_at')} AS started_ms, s.served_ms::float8 AS served_ms, j.gpus AS gpus_most, j.state, j.seconds_used
     FROM (${which}) s JOIN scheduling.job j ON j.id = s.job_id`,
    parameters,
  );
  return rows.map((row) => ({
    jobId: row.job_id,
    owner: row.owner,
    gpus: row.gpus,
    ...(row.gpus < row.gpus_most && { gpusMost: row.gpus_most }),
    submittedMs: row.submitted_ms,
    clusterId: row.cluster_id,
    startedMs: row.started_ms,
    servedMs: row.served_ms,
    totalMs: row.state === 'queued' || row.state === 'running' ? null : row.seconds_used * 1000,
    isRunning: row.state === 'running',
  }));
}
