import type { Tx } from '@beamtime/platform';
import { markOf } from '../domain/shape.js';
import { consortium, type JobKind, type Owner } from '../domain/snapshot.js';

/**
 * Jobs of labs take their places in the schedules that the labs would have had alone, from the moment from which they
 * could start; what only serves has none, and what stands under a quota of GPUs has one from when it starts, there or
 * in reality: see `Scene`.
 */
export async function enterShadows(
  tx: Tx,
  jobs: readonly {
    readonly jobId: string;
    readonly kind: JobKind;
    readonly owner: Owner;
    /** The fewest that it runs with: its lab alone could have begun it as soon as it had these. */
    readonly gpus: number;
    readonly shape: string;
  }[],
): Promise<void> {
  const ours = jobs.filter(
    ({ owner, kind, shape }) =>
      owner !== consortium && kind !== 'serve' && markOf(shape).quotaKeys.length === 0,
  );
  if (ours.length === 0) return;
  await tx.rows(
    `INSERT INTO scheduling.shadow (job_id, owner, gpus, submitted_at)
     SELECT job_id, owner, gpus, now() FROM unnest($1::text[], $2::text[], $3::int[]) AS e (job_id, owner, gpus)
     WHERE EXISTS (SELECT 1 FROM scheduling.cluster c WHERE c.lab_id = e.owner AND c.state <> 'retired')`,
    [ours.map(({ jobId }) => jobId), ours.map(({ owner }) => owner), ours.map(({ gpus }) => gpus)],
  );
}

/** The same for jobs that are there already, with the time of their submission; who has a place keeps it. */
export async function enterKnown(tx: Tx, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await tx.rows(
    `INSERT INTO scheduling.shadow (job_id, owner, gpus, submitted_at)
     SELECT j.id, j.owner, coalesce(j.gpus_min, j.gpus), j.submitted_at FROM scheduling.job j
     WHERE j.id = ANY ($1) AND j.state IN ('queued', 'running') AND j.owner <> $2 AND j.kind <> 'serve'
       AND EXISTS (SELECT 1 FROM scheduling.cluster c WHERE c.lab_id = j.owner AND c.state <> 'retired')
     ON CONFLICT (job_id) DO NOTHING`,
    [jobIds, consortium],
  );
}
