import { sqlMigration } from '@beamtime/platform';

/** Jobs that run with fewer GPUs than they ask for, if need be. */
export const elasticMigrations = [
  sqlMigration(
    'scheduling-0052-elastic-jobs',
    1_795_000_040_052,
    `
    ALTER TABLE scheduling.job ADD COLUMN gpus_min integer,
      ADD CONSTRAINT job_elastic CHECK (gpus_min IS NULL OR (gpus_min BETWEEN 1 AND gpus - 1 AND gpu_share_milli = 1000));
    `,
  ),
];
