import type { Tx } from '@beamtime/platform';
import { liveStates } from '../domain/attempt-lifecycle.js';
import { type ClusterState, clusterStateOf } from '../domain/cluster-lifecycle.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

interface ClusterFactsRow {
  id: string;
  state: ClusterState;
  drain_requested: boolean;
  agent_draining: boolean;
  silent_ms: number | null;
  live: number;
}

const factsOfClusters = `SELECT id, state, drain_requested, agent_draining,
    (extract(epoch FROM clock_timestamp() - last_seen_at) * 1000)::float8 AS silent_ms,
    (SELECT count(*)::int FROM scheduling.attempt a WHERE a.cluster_id = c.id AND a.state IN (${live})) AS live
  FROM scheduling.cluster c`;

function next(row: ClusterFactsRow, downAfterMs: number): ClusterState {
  return clusterStateOf(
    {
      state: row.state,
      drainRequested: row.drain_requested,
      agentDraining: row.agent_draining,
      silentMs: row.silent_ms,
      liveAttempts: row.live,
    },
    downAfterMs,
  );
}

/** Clusters whose state is not the one that follows from what is known. */
export async function findUnsettled(tx: Tx, downAfterMs: number): Promise<string[]> {
  const rows = await tx.rows<ClusterFactsRow>(`${factsOfClusters} WHERE state <> 'retired' ORDER BY id`);
  return rows.filter((row) => next(row, downAfterMs) !== row.state).map((row) => row.id);
}

/** Moves a cluster to the state that follows from what is known; answers that state. */
export async function settleClusterState(
  tx: Tx,
  clusterId: string,
  downAfterMs: number,
): Promise<ClusterState> {
  const row = await tx.row<ClusterFactsRow>(`${factsOfClusters} WHERE id = $1`, [clusterId]);
  if (row === undefined) return 'down';
  const state = next(row, downAfterMs);
  if (state === row.state) return state;
  const changed = await tx.changed(
    'UPDATE scheduling.cluster SET state = $2, state_reason = CASE WHEN $2 = $4 THEN NULL ELSE state_reason END WHERE id = $1 AND state = $3',
    [clusterId, state, row.state, 'active'],
  );
  if (changed > 0) tx.knock('schedule');
  return state;
}
