import type { Tx } from '@beamtime/platform';
import { consortium, type JobKind, type Owner } from '../domain/snapshot.js';

/**
 * Jobs of labs take their places in the schedules that the labs would have had alone, from the moment from which they
 * could start; what only serves has none.
 */
export async function enterShadows(
  tx: Tx,
  jobs: readonly {
    readonly jobId: string;
    readonly kind: JobKind;
    readonly owner: Owner;
    readonly gpus: number;
  }[],
): Promise<void> {
  const ours = jobs.filter(({ owner, kind }) => owner !== consortium && kind !== 'serve');
  if (ours.length === 0) return;
  await tx.rows(
    `INSERT INTO scheduling.shadow (job_id, owner, gpus, submitted_at)
     SELECT job_id, owner, gpus, now() FROM unnest($1::text[], $2::text[], $3::int[]) AS e (job_id, owner, gpus)
     WHERE EXISTS (SELECT 1 FROM scheduling.cluster c WHERE c.lab_id = e.owner AND c.state <> 'retired')`,
    [ours.map(({ jobId }) => jobId), ours.map(({ owner }) => owner), ours.map(({ gpus }) => gpus)],
  );
}
