import type { Tx } from '@beamtime/platform';
import { liveStates } from '../domain/attempt-lifecycle.js';
import { quotaOfKey } from '../domain/quota.js';
import type { GpuQuota } from '../domain/snapshot.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

/** What a job is bound by: the scopes and subjects of `quotaKeysOf`, as rows of the job `j`. */
const scopesOfJob = `(VALUES ('lab', j.lab_id), ('person', j.submitted_by), ('project', j.suite_id),
  ('project', j.study_id)) AS k (scope, subject)`;

/** GPUs that live attempts hold now under each of these quotas, by their keys; what holds none is left out. */
export async function gpusInUse(tx: Tx, keys: readonly string[]): Promise<Map<string, number>> {
  if (keys.length === 0) return new Map();
  const subjects = keys.map(quotaOfKey);
  const rows = await tx.rows<{ key: string; gpus: number }>(
    `SELECT k.scope || '/' || k.subject AS key, sum(a.gpus)::int AS gpus
     FROM scheduling.attempt a JOIN scheduling.job j ON j.id = a.job_id CROSS JOIN LATERAL ${scopesOfJob}
     JOIN unnest($1::text[], $2::text[]) AS q (scope, subject) ON q.scope = k.scope AND q.subject = k.subject
     WHERE a.state IN (${live}) GROUP BY k.scope, k.subject`,
    [subjects.map(({ scope }) => scope), subjects.map(({ subject }) => subject)],
  );
  return new Map(rows.map(({ key, gpus }) => [key, gpus]));
}

/**
 * Those of these keys that are quotas of GPUs, with what is used of them. They are locked until the transaction ends,
 * so that two decisions do not both take what is left.
 */
export async function lockGpuQuotas(tx: Tx, keys: readonly string[]): Promise<GpuQuota[]> {
  const subjects = keys.map(quotaOfKey);
  const quotas = await tx.rows<{ key: string; gpus: number }>(
    `SELECT scope || '/' || subject AS key, max_gpus_at_once AS gpus FROM scheduling.quota
     WHERE (scope, subject) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND max_gpus_at_once IS NOT NULL
     ORDER BY scope, subject FOR UPDATE`,
    [subjects.map(({ scope }) => scope), subjects.map(({ subject }) => subject)],
  );
  return withUse(tx, quotas);
}

/** Quotas of GPUs with what is used of each now. */
export async function withUse(
  tx: Tx,
  quotas: readonly Pick<GpuQuota, 'key' | 'gpus'>[],
): Promise<GpuQuota[]> {
  const used = await gpusInUse(
    tx,
    quotas.map(({ key }) => key),
  );
  return quotas.map((quota) => ({ ...quota, usedGpus: used.get(quota.key) ?? 0 }));
}
