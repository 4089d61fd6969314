import { type Leadership, requireEpoch, type Tx } from '@beamtime/platform';
import type { ShadowMove } from '../domain/decisions.js';
import { enterKnown } from './enter-shadows.js';

/** Writes how the schedules of the labs alone went on; only the leader does. */
export async function keepShadows(
  tx: Tx,
  leadership: Leadership,
  moves: readonly ShadowMove[],
): Promise<void> {
  if (moves.length === 0) return;
  await requireEpoch(tx, leadership);
  const ended = moves.filter((move) => move.ended).map((move) => move.jobId);
  if (ended.length > 0)
    await tx.rows('DELETE FROM scheduling.shadow WHERE job_id = ANY($1::text[])', [ended]);
  await enterKnown(
    tx,
    moves.filter((move) => move.enters === true).map((move) => move.jobId),
  );
  const stand = moves.filter((move) => !move.ended);
  if (stand.length === 0) return;
  await tx.rows(
    `UPDATE scheduling.shadow s SET cluster_id = m.cluster_id, started_at = to_timestamp(m.started_ms / 1000),
       served_ms = m.served_ms
     FROM unnest($1::text[], $2::text[], $3::float8[], $4::bigint[]) AS m (job_id, cluster_id, started_ms, served_ms)
     WHERE s.job_id = m.job_id`,
    [
      stand.map((move) => move.jobId),
      stand.map((move) => move.clusterId),
      stand.map((move) => move.startedMs),
      stand.map((move) => Math.round(move.servedMs)),
    ],
  );
}
