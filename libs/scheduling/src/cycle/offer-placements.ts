import { type Leadership, requireEpoch, type Tx } from '@beamtime/platform';
import type { Placement } from '../domain/decide.js';
import { type CachedBytes, wordsOfBytes } from '../domain/locality.js';
import { GpuRoom } from '../domain/quota.js';
import { appendHistoryAll } from '../postgres/job-records.js';
import { lockGpuQuotas } from '../quotas/gpus-in-use.js';
import { enterKnown } from '../shadows/enter-shadows.js';

interface OfferedRow {
  job_id: string;
  number: number;
  cluster_id: string;
  resumed_from_step: string | null;
}

/**
 * Makes the next attempt of each placed job that still waits, for clusters that are still active: a compare-and-set,
 * so a late decision does no harm, and a former leader changes nothing. Three statements, however many offers; the
 * jobs are locked in the order of their ids, as everyone locks several. Where jobs stand under quotas of GPUs, those are
 * looked at again first, under their locks. Answers what was offered.
 */
export async function offerPlacements(
  tx: Tx,
  leadership: Leadership,
  placements: readonly Placement[],
  { offerTtlMs, cached }: { readonly offerTtlMs: number; readonly cached: CachedBytes },
): Promise<OfferedRow[]> {
  if (placements.length === 0) return [];
  await requireEpoch(tx, leadership);
  const granted = await withinQuotas(tx, placements);
  const offered = await tx.rows<OfferedRow>(
    `WITH wish AS (
       SELECT w.job_id, w.cluster_id, w.gpu_slot, w.gpus
       FROM unnest($1::text[], $2::text[], $4::int[], $5::int[]) AS w (job_id, cluster_id, gpu_slot, gpus)
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
       RETURNING j.id, j.attempts, coalesce(w.gpus, j.gpus) AS gpus, j.gpu_share_milli, j.owner, j.resumable_step, w.cluster_id, w.gpu_slot
     )
     INSERT INTO scheduling.attempt (job_id, number, cluster_id, gpus, gpu_share_milli, gpu_slot, owner,
       offer_expires_at, resumed_from_step)
     SELECT id, attempts, cluster_id, gpus, gpu_share_milli, gpu_slot, owner, now() + $3 * interval '1 millisecond',
       resumable_step FROM started
     RETURNING job_id, number, cluster_id, resumed_from_step`,
    [
      granted.map((p) => p.jobId),
      granted.map((p) => p.clusterId),
      offerTtlMs,
      granted.map((p) => p.gpuSlot ?? null),
      granted.map((p) => p.gpus ?? null),
    ],
  );
  // What stands under a quota of GPUs has its place in the schedule of its lab from when it starts.
  await enterKnown(
    tx,
    granted.filter(({ quotas }) => quotas !== undefined).map(({ jobId }) => jobId),
  );
  const actor = `scheduler/${leadership.epoch}`;
  const someGpus = new Map(granted.flatMap(({ jobId, gpus }) => (gpus === undefined ? [] : [[jobId, gpus]])));
  await appendHistoryAll(
    tx,
    offered.flatMap(({ job_id: jobId, number, cluster_id: clusterId, resumed_from_step: step }) => [
      { jobId, attempt: null, subject: 'job' as const, from: 'queued', to: 'running', actor, reason: null },
      {
        jobId,
        attempt: number,
        subject: 'attempt' as const,
        from: null,
        to: 'offered',
        actor,
        reason: `to ${clusterId}${ofItsGpus(someGpus.get(jobId))}${whatLiesThere(cached.get(jobId)?.[clusterId], step !== null)}`,
      },
    ]),
  );
  return offered;
}

/**
 * Without those that would pass a quota of GPUs, should another decision, or a change of the quota, have come between:
 * whoever makes live attempts under a quota holds its lock until they are there. Costs nothing where there is none.
 */
async function withinQuotas(tx: Tx, placements: readonly Placement[]): Promise<readonly Placement[]> {
  const keys = new Set(placements.flatMap(({ quotas }) => quotas ?? []));
  if (keys.size === 0) return placements;
  // Jobs come before quotas in the order of locks, as in submissions.
  const waiting = await tx.rows<{ id: string; gpus: number }>(
    `SELECT id, gpus FROM scheduling.job WHERE id = ANY ($1) AND state = 'queued' AND cancel_requested_at IS NULL
       AND blocked_by = 0 ORDER BY id FOR UPDATE`,
    [placements.map(({ jobId }) => jobId)],
  );
  const gpusOf = new Map(waiting.map(({ id, gpus }) => [id, gpus]));
  const room = new GpuRoom(await lockGpuQuotas(tx, [...keys]));
  return placements.filter((placement) => {
    const { jobId, quotas = [] } = placement;
    const gpus = gpusOf.get(jobId);
    return gpus !== undefined && room.take(quotas, placement.gpus ?? gpus);
  });
}

/** An elastic job that starts with fewer than it asks for. */
function ofItsGpus(gpus: number | undefined): string {
  return gpus === undefined ? '' : `, with ${gpus} of the GPUs that it asks for`;
}

function whatLiesThere(bytes: number | undefined, goesOn: boolean): string {
  if (bytes === undefined || bytes === 0) return '';
  return `, which holds ${wordsOfBytes(bytes)} of its inputs${goesOn ? ' and saved state' : ''}`;
}
