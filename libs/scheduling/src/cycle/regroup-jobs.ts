import { type Leadership, requireEpoch, type Tx } from '@beamtime/platform';
import { type Bound, quotaKeysOf } from '../domain/quota.js';
import { markedShape, markOf } from '../domain/shape.js';
import { enterKnown } from '../shadows/enter-shadows.js';
import { boundColumns, type ShapeOfOwner } from './bound-jobs.js';
import { isWaiting } from './load-waiting.js';

/** Jobs looked at by one turn of the scheduler, whatever the number of places; the next turn follows at once. */
const jobsPerTurn = 1_000;

/**
 * Marks the first waiting jobs of places where a decision has met jobs without the marks that they should have: a quota
 * of GPUs was set or lifted, or they come back from an attempt. Nothing depends on the marks but which jobs a decision
 * reads, so those further back may wait until they come up themselves, however many there are. Answers how many it marked.
 */
export async function regroupJobs(
  tx: Tx,
  leadership: Leadership,
  misplaced: readonly ShapeOfOwner[],
): Promise<number> {
  const places = misplaced.slice(0, jobsPerTurn);
  if (places.length === 0) return 0;
  await requireEpoch(tx, leadership);
  const quotas = await tx.rows<{ key: string }>(
    `SELECT scope || '/' || subject AS key FROM scheduling.quota WHERE max_gpus_at_once IS NOT NULL`,
  );
  const isQuota = new Set(quotas.map(({ key }) => key));
  const rows = await tx.rows<Bound & { id: string; shape: string }>(
    `SELECT j.id, j.shape, ${boundColumns} FROM unnest($1::text[], $2::text[]) AS h (owner, shape),
       LATERAL (SELECT * FROM scheduling.job w WHERE ${isWaiting} AND w.owner = h.owner AND w.shape = h.shape
         ORDER BY priority DESC, submitted_at, id LIMIT $3) j`,
    [
      places.map(({ owner }) => owner),
      places.map(({ shape }) => shape),
      Math.floor(jobsPerTurn / places.length),
    ],
  );
  const changes = rows.flatMap((row) => {
    const shape = markedShape(
      row.shape,
      quotaKeysOf(row).filter((key) => isQuota.has(key)),
    );
    return shape === row.shape ? [] : [{ id: row.id, was: row.shape, shape }];
  });
  const marked = await tx.rows<{ id: string; shape: string }>(
    `WITH change AS (
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS c (id, was, shape)
     ), locked AS MATERIALIZED (
       SELECT j.id FROM scheduling.job j JOIN change c ON c.id = j.id
       WHERE j.state = 'queued' AND j.shape = c.was ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
     )
     UPDATE scheduling.job j SET shape = c.shape FROM change c JOIN locked l ON l.id = c.id WHERE j.id = c.id
     RETURNING j.id, j.shape`,
    [changes.map(({ id }) => id), changes.map(({ was }) => was), changes.map(({ shape }) => shape)],
  );
  await followInShadows(tx, marked);
  return marked.length;
}

/** Who stands under a quota has no place in the schedule of its lab while it only waits; who does not, has one. */
async function followInShadows(
  tx: Tx,
  marked: readonly { readonly id: string; readonly shape: string }[],
): Promise<void> {
  const isBound = ({ shape }: { shape: string }): boolean => markOf(shape).quotaKeys.length > 0;
  const bound = marked.filter(isBound).map(({ id }) => id);
  if (bound.length > 0) {
    await tx.rows(
      'DELETE FROM scheduling.shadow WHERE job_id = ANY ($1) AND started_at IS NULL AND served_ms = 0',
      [bound],
    );
  }
  await enterKnown(
    tx,
    marked.filter((one) => !isBound(one)).map(({ id }) => id),
  );
}
