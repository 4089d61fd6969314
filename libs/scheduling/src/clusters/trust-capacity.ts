import type { Tx } from '@beamtime/platform';
import { liveStates } from '../domain/attempt-lifecycle.js';
import { afterAcceptance, afterRefusal, type CapacityTrust, fullTrust } from '../domain/trusted-capacity.js';

/** GPUs of some attempts: those that they share count once. */
export const gpusGivenOut =
  '(coalesce(sum(gpus) FILTER (WHERE gpu_slot IS NULL), 0) + count(DISTINCT gpu_slot))::int';

const live = liveStates.map((state) => `'${state}'`).join(', ');

/** The cluster says that it has too few GPUs for an offer that fits into what it claims. */
export function doubtCapacity(tx: Tx, clusterId: string, offeredGpus: number): Promise<void> {
  return change(tx, clusterId, (trust, busyGpus, nowMs) =>
    afterRefusal(trust, { gpus: offeredGpus, busyGpus }, nowMs),
  );
}

/**
 * Offers lapsed. Where the agent was heard of after an offer was made, it was told of it and neither took nor refused
 * it; an agent that was not has died with them and says nothing of what its cluster has. Those that lapse together are
 * one refusal: they are one silence.
 */
export async function doubtSilentCapacity(
  tx: Tx,
  clusterId: string,
  lapsed: readonly { readonly gpus: number; readonly offered_at: Date }[],
): Promise<void> {
  const cluster = await tx.row<{ last_seen_at: Date | null }>(
    `SELECT last_seen_at FROM scheduling.cluster WHERE id = $1 AND state = 'active' AND NOT agent_draining`,
    [clusterId],
  );
  const heardMs = cluster?.last_seen_at?.getTime() ?? Number.NEGATIVE_INFINITY;
  const told = lapsed.filter((offer) => offer.offered_at.getTime() < heardMs);
  if (told.length > 0) await doubtCapacity(tx, clusterId, Math.min(...told.map(({ gpus }) => gpus)));
}

/** So many GPUs run there now, by what its agent holds. */
export async function restoreCapacity(
  tx: Tx,
  clusterId: string,
  trust: CapacityTrust,
  heldGpus: number,
): Promise<void> {
  const next = afterAcceptance(trust, heldGpus);
  if (next === trust) return;
  // Who doubts it at the same time knows more than what was read; the next sync looks again.
  await tx.rows('UPDATE scheduling.cluster SET trust = $2 WHERE id = $1 AND trust = $3::jsonb', [
    clusterId,
    JSON.stringify(next),
    JSON.stringify(trust),
  ]);
}

async function change(
  tx: Tx,
  clusterId: string,
  next: (trust: CapacityTrust, busyGpus: number, nowMs: number) => CapacityTrust,
): Promise<void> {
  const row = await tx.row<{ trust: CapacityTrust | null; busy: number; now: Date }>(
    `SELECT trust, clock_timestamp() AS now,
       (SELECT ${gpusGivenOut} FROM scheduling.attempt a
        WHERE a.cluster_id = c.id AND a.state IN (${live})) AS busy
     FROM scheduling.cluster c WHERE id = $1 FOR UPDATE`,
    [clusterId],
  );
  if (row === undefined) return;
  const trust = next(row.trust ?? fullTrust, row.busy, row.now.getTime());
  await tx.rows('UPDATE scheduling.cluster SET trust = $2 WHERE id = $1', [clusterId, JSON.stringify(trust)]);
}
