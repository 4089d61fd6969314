import { type Leadership, requireEpoch, type Tx } from '@beamtime/platform';
import type { Placement } from '../domain/decide.js';
import { appendHistoryAll } from '../postgres/job-records.js';

interface OfferedRow {
  job_id: string;
  number: number;
  cluster_id: string;
}

/**
 * Makes the next attempt of each placed job that still waits, for clusters that are still active: a compare-and-set,
 * so a late decision does no harm, and a former leader changes nothing. Three statements, however many offers; the
 * jobs are locked in the order of their ids, as everyone locks several. Answers what was offered.
 */
export async function offerPlacements(
  tx: Tx,
  leadership: Leadership,
  placements: readonly Placement[],
  offerTtlMs: number,
): Promise<OfferedRow[]> {
  if (placements.length === 0) return [];
  await requireEpoch(tx, leadership);
  const offered = await tx.rows<OfferedRow>(
    `WITH wish AS (
       SELECT w.job_id, w.cluster_id, w.gpu_slot
       FROM unnest($1::text[], $2::text[], $4::int[]) AS w (job_id, cluster_id, gpu_slot)
       JOIN scheduling.cluster c ON c.id = w.cluster_id AND c.state = 'active'
     ), locked AS MATERIALIZED (
       SELECT id FROM scheduling.job
       WHERE id IN (SELECT job_id FROM wish) AND state = 'queued' AND cancel_requested_at IS NULL
         AND blocked_by = 0
       ORDER BY id FOR UPDATE
     ), started AS (
       UPDATE scheduling.job j
       SET state = 'running', attempts = attempts + 1, updated_at = now(), retry_at = NULL
       FROM locked l JOIN wish w ON w.job_id = l.id
       WHERE j.id = l.id AND j.state = 'queued' AND j.cancel_requested_at IS NULL
       RETURNING j.id, j.attempts, j.gpus, j.gpu_share_milli, j.owner, j.resumable_step, w.cluster_id, w.gpu_slot
     )
     INSERT INTO scheduling.attempt (job_id, number, cluster_id, gpus, gpu_share_milli, gpu_slot, owner,
       offer_expires_at, resumed_from_step)
     SELECT id, attempts, cluster_id, gpus, gpu_share_milli, gpu_slot, owner, now() + $3 * interval '1 millisecond',
       resumable_step FROM started
     RETURNING job_id, number, cluster_id`,
    [
      placements.map((p) => p.jobId),
      placements.map((p) => p.clusterId),
      offerTtlMs,
      placements.map((p) => p.gpuSlot ?? null),
    ],
  );
  const actor = `scheduler/${leadership.epoch}`;
  await appendHistoryAll(
    tx,
    offered.flatMap(({ job_id: jobId, number, cluster_id: clusterId }) => [
      { jobId, attempt: null, subject: 'job' as const, from: 'queued', to: 'running', actor, reason: null },
      {
        jobId,
        attempt: number,
        subject: 'attempt' as const,
        from: null,
        to: 'offered',
        actor,
        reason: `to ${clusterId}`,
      },
    ]),
  );
  return offered;
}
