import type { Tx } from '@beamtime/platform';
import { type Bound, quotaKeysOf } from '../domain/quota.js';
import { markedShape, markOf } from '../domain/shape.js';
import type { GpuQuota } from '../domain/snapshot.js';

/** `Bound` of the job `j`. */
export const boundColumns = `j.lab_id AS "labId", j.suite_id AS "suiteId", j.study_id AS "studyId",
  j.submitted_by AS "submittedBy"`;

/** Jobs of one owner and shape. */
export interface ShapeOfOwner {
  readonly owner: string;
  readonly shape: string;
}

/** Quotas of GPUs, by their keys, under which jobs stand, by their ids; jobs under none are left out. */
export type QuotasOfJobs = ReadonlyMap<string, readonly string[]>;

/** Under which quotas waiting jobs stand. What binds a job never changes, so the leader remembers it. */
export class BoundJobs {
  /** Of the jobs that the last decision read: the keys of the quotas that could be set over them. */
  private known = new Map<string, readonly string[]>();

  /** Asks nothing where there is no quota. */
  async quotasOf(
    tx: Tx,
    jobs: readonly { readonly id: string }[],
    quotas: readonly GpuQuota[],
  ): Promise<QuotasOfJobs> {
    const found = new Map<string, readonly string[]>();
    if (quotas.length === 0) return found;
    this.known = await this.read(
      tx,
      jobs.map(({ id }) => id),
    );
    const isQuota = new Set(quotas.map(({ key }) => key));
    for (const [jobId, all] of this.known) {
      const keys = all.filter((key) => isQuota.has(key));
      if (keys.length > 0) found.set(jobId, keys);
    }
    return found;
  }

  private async read(tx: Tx, jobIds: readonly string[]): Promise<Map<string, readonly string[]>> {
    const read = new Map<string, readonly string[]>();
    for (const jobId of jobIds) {
      const keys = this.known.get(jobId);
      if (keys !== undefined) read.set(jobId, keys);
    }
    const unknown = jobIds.filter((jobId) => !read.has(jobId));
    if (unknown.length > 0) {
      const rows = await tx.rows<Bound & { id: string }>(
        `SELECT j.id, ${boundColumns} FROM scheduling.job j WHERE j.id = ANY ($1)`,
        [unknown],
      );
      for (const row of rows) read.set(row.id, quotaKeysOf(row));
    }
    return read;
  }
}

/**
 * Whether a shape is marked otherwise than with the quotas under which these jobs of it stand: quotas have changed, or
 * jobs have come back. Where there is no quota, marks of earlier ones hold nobody back, but they go all the same.
 */
export function isMisplaced(shape: string, jobIds: readonly string[], quotasOf: QuotasOfJobs): boolean {
  if (quotasOf.size === 0) return markOf(shape).quotaKeys.length > 0;
  return jobIds.some((jobId) => markedShape(shape, quotasOf.get(jobId) ?? []) !== shape);
}
