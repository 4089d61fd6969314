import { sqlMigration } from '@beamtime/platform';

/** Jobs that follow others, jobs whose work is planned later, and jobs that must end by a time. */
export const dependencyMigrations = [
  sqlMigration(
    'scheduling-0025-dependencies',
    1_795_000_040_025,
    `
    ALTER TABLE scheduling.job ADD COLUMN blocked_by integer NOT NULL DEFAULT 0,
      ADD COLUMN followers integer NOT NULL DEFAULT 0,
      ADD COLUMN unplanned jsonb,
      ADD CONSTRAINT job_blocked_by_count CHECK (blocked_by >= 0),
      ADD CONSTRAINT job_unplanned_is_blocked CHECK (unplanned IS NULL OR blocked_by > 0);
    CREATE TABLE scheduling.dependency (
      job_id text NOT NULL CONSTRAINT dependency_job_fkey REFERENCES scheduling.job (id) ON DELETE CASCADE,
      after_job_id text NOT NULL CONSTRAINT dependency_after_job_fkey REFERENCES scheduling.job (id) ON DELETE CASCADE,
      met_at timestamptz,
      CONSTRAINT dependency_pkey PRIMARY KEY (job_id, after_job_id),
      CONSTRAINT dependency_of_another CHECK (job_id <> after_job_id)
    );
    CREATE INDEX dependency_followers ON scheduling.dependency (after_job_id);
    -- What is blocked is no candidate, however long it waits.
    DROP INDEX scheduling.job_waiting;
    CREATE INDEX job_waiting ON scheduling.job (owner, shape, priority DESC, submitted_at, id)
      WHERE state = 'queued' AND retry_at IS NULL AND blocked_by = 0;
    `,
  ),
  sqlMigration(
    'scheduling-0026-deadlines',
    1_795_000_040_026,
    `
    ALTER TABLE scheduling.job ADD COLUMN deadline timestamptz;
    CREATE INDEX job_deadline ON scheduling.job (deadline)
      WHERE deadline IS NOT NULL AND state IN ('queued', 'running') AND cancel_requested_at IS NULL;
    `,
  ),
];
