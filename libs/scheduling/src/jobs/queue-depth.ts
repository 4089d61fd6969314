import { schedulingLimits } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';

/** What an owner has waiting. */
export interface OwnerDepth {
  readonly jobs: number;
  readonly gpus: number;
}

/**
 * Jobs that wait, by owner. A trigger appends to `queue_depth` what each statement adds to the queue or takes from it,
 * so that no counter is fought for and nobody counts the queue; the sum is exact at every moment.
 */
export async function queueDepths(tx: Tx): Promise<Map<string, OwnerDepth>> {
  const rows = await tx.rows<{ owner: string; jobs: string; gpus: string }>(
    'SELECT owner, sum(jobs) AS jobs, sum(gpus) AS gpus FROM scheduling.queue_depth GROUP BY owner HAVING sum(jobs) > 0',
  );
  return new Map(rows.map((row) => [row.owner, { jobs: Number(row.jobs), gpus: Number(row.gpus) }]));
}

export async function queueDepth(tx: Tx): Promise<number> {
  const row = await tx.row<{ jobs: string | null }>('SELECT sum(jobs) AS jobs FROM scheduling.queue_depth');
  return Number(row?.jobs ?? 0);
}

/** Makes one row of each owner's many. */
export async function compactQueueDepth(tx: Tx): Promise<void> {
  await tx.rows(
    `WITH gone AS (DELETE FROM scheduling.queue_depth RETURNING owner, jobs, gpus)
     INSERT INTO scheduling.queue_depth (owner, jobs, gpus)
     SELECT owner, sum(jobs), sum(gpus) FROM gone GROUP BY owner HAVING sum(jobs) <> 0`,
  );
}

/** So long a depth far below the limit is believed without looking again. */
const believedMs = 250;
/** Nearer than this to the limit, each submission looks. */
const nearJobs = 50_000;

/** Whether the queue has room for more; asked with every submission. */
export class QueueLimit {
  private seen = { depth: 0, atMs: Number.NEGATIVE_INFINITY };

  /** How many more jobs may wait. */
  async room(tx: Tx): Promise<number> {
    const { depth, atMs } = this.seen;
    const stale = performance.now() - atMs > believedMs || depth > schedulingLimits.queuedJobs - nearJobs;
    if (stale) this.seen = { depth: await queueDepth(tx), atMs: performance.now() };
    return schedulingLimits.queuedJobs - this.seen.depth;
  }
}
