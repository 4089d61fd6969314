import { cachedInputDigits } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import type { CachedBytes } from '../domain/locality.js';

/** Lists of files read for one decision, in bytes as they are stored; jobs beyond have no preference. */
const listsMostBytes = 1_048_576;

/**
 * How many bytes of these jobs' inputs, and of the states from which they go on, lie at which active cluster, as the
 * agents that are in charge there have said. Sizes are the jobs' own: an agent only names what it has.
 */
export async function loadCachedBytes(tx: Tx, jobIds: readonly string[]): Promise<CachedBytes> {
  const cached = new Map<string, Record<string, number>>();
  if (jobIds.length === 0) return cached;
  const rows = await tx.rows<{ job_id: string; cluster_id: string; bytes: number }>(
    `WITH asked AS MATERIALIZED (
       SELECT j.id, sum(pg_column_size(j.inputs)) OVER (ORDER BY a.n) AS list_bytes
       FROM unnest($1::text[]) WITH ORDINALITY AS a (id, n) JOIN scheduling.job j ON j.id = a.id
     )
     SELECT a.id AS job_id, i.cluster_id, sum(f.bytes)::float8 AS bytes
     FROM asked a JOIN scheduling.job j ON j.id = a.id, LATERAL (
       SELECT DISTINCT left(file->>'sha256', ${cachedInputDigits}) AS digits, (file->>'sizeBytes')::float8 AS bytes
       FROM jsonb_array_elements(j.inputs || coalesce(j.resumable->'files', '[]'::jsonb)) AS e (file)
     ) f
     JOIN scheduling.cached_input i ON i.digits = f.digits
     JOIN scheduling.cluster c ON c.id = i.cluster_id AND c.state = 'active' AND c.cache_incarnation = c.incarnation
     WHERE a.list_bytes <= $2 GROUP BY a.id, i.cluster_id`,
    [jobIds, listsMostBytes],
  );
  for (const { job_id, cluster_id, bytes } of rows) {
    const known = cached.get(job_id) ?? {};
    known[cluster_id] = bytes;
    cached.set(job_id, known);
  }
  return cached;
}
