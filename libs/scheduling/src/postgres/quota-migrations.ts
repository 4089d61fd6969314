import { sqlMigration } from '@beamtime/platform';

/** Quotas of unfinished jobs and by what they are counted, and quotas of GPUs. */
export const quotaMigrations = [
  sqlMigration(
    'scheduling-0027-quotas',
    1_795_000_040_027,
    `
    CREATE TABLE scheduling.quota (
      scope text NOT NULL,
      subject text NOT NULL,
      max_unfinished_jobs integer NOT NULL,
      set_by text NOT NULL,
      set_at timestamptz NOT NULL DEFAULT now(),
      CONSTRAINT quota_pkey PRIMARY KEY (scope, subject),
      CONSTRAINT quota_scope_known CHECK (scope IN ('lab', 'person', 'project')),
      CONSTRAINT quota_not_negative CHECK (max_unfinished_jobs >= 0)
    );
    CREATE INDEX job_unfinished_of_lab ON scheduling.job (lab_id) WHERE state IN ('queued', 'running');
    CREATE INDEX job_unfinished_of_person ON scheduling.job (submitted_by) WHERE state IN ('queued', 'running');
    CREATE INDEX job_unfinished_of_suite ON scheduling.job (suite_id)
      WHERE state IN ('queued', 'running') AND suite_id IS NOT NULL;
    CREATE INDEX job_unfinished_of_study ON scheduling.job (study_id)
      WHERE state IN ('queued', 'running') AND study_id IS NOT NULL;
    `,
  ),
  sqlMigration(
    'scheduling-0032-gpu-quotas',
    1_795_000_040_032,
    `
    ALTER TABLE scheduling.quota ALTER COLUMN max_unfinished_jobs DROP NOT NULL,
      ADD COLUMN max_gpus_at_once integer,
      ADD CONSTRAINT quota_gpus_not_negative CHECK (max_gpus_at_once >= 0),
      ADD CONSTRAINT quota_of_something CHECK (max_unfinished_jobs IS NOT NULL OR max_gpus_at_once IS NOT NULL);
    `,
  ),
];
