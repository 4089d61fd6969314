import type { Tx } from '@beamtime/platform';

/** All inputs that a cluster keeps, by the first digits of their SHA-256; the version rises with every change. */
export interface SaidInputs {
  readonly version: number;
  readonly inputs: readonly string[];
}

/**
 * Takes in which inputs lie at a cluster, in one statement and only where they are others: an older word of this process,
 * or one of a process that has been replaced, changes nothing. Nothing depends on it but where jobs start that could
 * start in several places, so it is not proved.
 */
export async function keepCachedInputs(
  tx: Tx,
  agent: { readonly clusterId: string; readonly incarnation: number },
  { version, inputs }: SaidInputs,
): Promise<void> {
  await tx.rows(
    `WITH newer AS (
       UPDATE scheduling.cluster SET cache_incarnation = $2, cache_version = $3, cached_inputs = cardinality($4::text[])
       WHERE id = $1 AND incarnation = $2 AND state <> 'retired' AND (cache_incarnation, cache_version) < ($2, $3)
       RETURNING id
     ), said AS (
       SELECT DISTINCT digits, newer.id AS cluster_id FROM newer, unnest($4::text[]) AS s (digits)
     ), gone AS (
       DELETE FROM scheduling.cached_input c USING newer
       WHERE c.cluster_id = newer.id AND NOT EXISTS (SELECT 1 FROM said WHERE said.digits = c.digits)
     )
     INSERT INTO scheduling.cached_input (digits, cluster_id) SELECT digits, cluster_id FROM said
     ON CONFLICT DO NOTHING`,
    [agent.clusterId, agent.incarnation, version, inputs],
  );
}
