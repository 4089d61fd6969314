import { sqlMigration } from '@beamtime/platform';

/** Replicas of served models: serve jobs with a number, each of which is live once. */
export const replicaMigrations = [
  sqlMigration(
    'scheduling-0028-replicas',
    1_795_000_040_028,
    `
    ALTER TABLE scheduling.job ADD COLUMN replica integer, ADD COLUMN leaving_at timestamptz,
      ADD CONSTRAINT job_replica_serves
        CHECK (replica IS NULL OR (replica > 0 AND kind = 'serve' AND model_id IS NOT NULL)),
      ADD CONSTRAINT job_leaving_replica CHECK (leaving_at IS NULL OR replica IS NOT NULL);
    CREATE INDEX job_serving ON scheduling.job (model_id)
      WHERE kind = 'serve' AND state IN ('queued', 'running');
    -- However many decide at the same time, no replica is started twice.
    CREATE UNIQUE INDEX job_replica_once ON scheduling.job (model_id, replica)
      WHERE kind = 'serve' AND replica IS NOT NULL AND leaving_at IS NULL AND cancel_requested_at IS NULL
        AND state IN ('queued', 'running');
    `,
  ),
];
