import type { QuotaView } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';
import { type Quota, QuotaRoom, type QuotaScope, quotaKey, quotaOfKey } from '../domain/quota.js';
import { gpusInUse } from './gpus-in-use.js';

/** The columns by which jobs belong to what a quota binds; each has a partial index of unfinished jobs. */
const columnsOf: Readonly<Record<QuotaScope, readonly string[]>> = {
  lab: ['lab_id'],
  person: ['submitted_by'],
  project: ['suite_id', 'study_id'],
};

const quotaColumns = `scope, subject, max_unfinished_jobs AS "maxUnfinishedJobs", max_gpus_at_once AS "maxGpusAtOnce"`;

/** How many jobs are queued or running under each of these, by `quotaKey`. */
async function countUnfinished(tx: Tx, quotas: readonly Quota[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const [scope, columns] of Object.entries(columnsOf)) {
    const subjects = quotas.filter((quota) => quota.scope === scope).map((quota) => quota.subject);
    if (subjects.length === 0) continue;
    for (const column of columns) {
      const rows = await tx.rows<{ subject: string; jobs: number }>(
        `SELECT ${column} AS subject, count(*)::int AS jobs FROM scheduling.job
         WHERE ${column} = ANY ($1) AND state IN ('queued', 'running') GROUP BY ${column}`,
        [subjects],
      );
      for (const { subject, jobs } of rows) counts.set(`${scope}/${subject}`, jobs);
    }
  }
  return counts;
}

/**
 * The quotas that bind submissions, with what is left of them. Those of unfinished jobs are locked until the
 * submissions are written, so that two processes do not both take the last place; where there is none nobody waits,
 * and nobody counts.
 */
export async function lockQuotas(tx: Tx, keys: readonly string[]): Promise<QuotaRoom> {
  const subjects = keys.map(quotaOfKey);
  const quotas = await tx.rows<Quota>(
    `WITH wanted AS (SELECT * FROM unnest($1::text[], $2::text[]) AS w (scope, subject)), counted AS MATERIALIZED (
       SELECT ${quotaColumns} FROM scheduling.quota
       WHERE (scope, subject) IN (SELECT * FROM wanted) AND max_unfinished_jobs IS NOT NULL
       ORDER BY scope, subject FOR UPDATE
     )
     SELECT * FROM counted
     UNION ALL SELECT ${quotaColumns} FROM scheduling.quota
     WHERE (scope, subject) IN (SELECT * FROM wanted) AND max_unfinished_jobs IS NULL`,
    [subjects.map(({ scope }) => scope), subjects.map(({ subject }) => subject)],
  );
  if (quotas.length === 0) return new QuotaRoom([]);
  const counts = await countUnfinished(
    tx,
    quotas.filter(({ maxUnfinishedJobs }) => maxUnfinishedJobs !== null),
  );
  return new QuotaRoom(
    quotas.map((quota) => ({ ...quota, unfinishedJobs: counts.get(quotaKey(quota)) ?? 0 })),
  );
}

/** All quotas, for people. */
export async function readQuotas(tx: Tx): Promise<QuotaView[]> {
  const rows = await tx.rows<Quota & { setBy: QuotaView['setBy']; setAt: Date }>(
    `SELECT ${quotaColumns}, set_by AS "setBy", set_at AS "setAt" FROM scheduling.quota ORDER BY scope, subject`,
  );
  const counts = await countUnfinished(tx, rows);
  const gpus = await gpusInUse(tx, rows.map(quotaKey));
  return rows.map((row) => ({
    ...row,
    setAt: row.setAt.toISOString(),
    unfinishedJobs: counts.get(quotaKey(row)) ?? 0,
    gpusInUse: gpus.get(quotaKey(row)) ?? 0,
  }));
}
