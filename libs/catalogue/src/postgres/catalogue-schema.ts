import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import { CorpusRow, DivergenceRow, EvaluationRow, ModelRow, RevisionRow, SuiteRow } from './rows.js';

export const catalogueSchema: ContextSchema = {
  context: 'catalogue',
  entities: [CorpusRow, SuiteRow, ModelRow, RevisionRow, DivergenceRow, EvaluationRow],
  migrations: [
    sqlMigration(
      'catalogue-0001-corpora-suites-models',
      1_795_000_030_001,
      `
      CREATE TABLE catalogue.corpus (
        id text CONSTRAINT corpus_pkey PRIMARY KEY,
        name text NOT NULL CONSTRAINT corpus_name_key UNIQUE,
        description text NOT NULL,
        language text NOT NULL,
        script text NOT NULL,
        format text NOT NULL,
        size_bytes bigint NOT NULL,
        sha256 text NOT NULL,
        object_key text NOT NULL,
        state text NOT NULL CONSTRAINT corpus_state_check CHECK (state IN ('registered', 'ready', 'rejected')),
        reason text,
        lab_id text,
        uploaded_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        ready_at timestamptz
      );
      CREATE TABLE catalogue.suite (
        id text CONSTRAINT suite_pkey PRIMARY KEY,
        name text NOT NULL CONSTRAINT suite_name_key UNIQUE,
        title text NOT NULL,
        design jsonb NOT NULL,
        origin text NOT NULL CONSTRAINT suite_origin_check CHECK (origin IN ('round', 'secretariat')),
        round_id text,
        proposal_id text,
        lab_id text,
        certificate_sha256 text,
        gpu_seconds_reserved bigint NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE TABLE catalogue.model (
        id text CONSTRAINT model_pkey PRIMARY KEY,
        name text NOT NULL,
        name_key text NOT NULL CONSTRAINT model_name_key UNIQUE,
        state text NOT NULL
          CONSTRAINT model_state_check CHECK (state IN ('planned', 'training', 'ready', 'failed', 'imported')),
        reason text,
        visibility text NOT NULL CONSTRAINT model_visibility_check CHECK (visibility IN ('public', 'private')),
        suite_id text,
        lab_id text,
        source text,
        created_by text NOT NULL,
        levels jsonb,
        factors jsonb NOT NULL,
        resolved jsonb,
        announced jsonb,
        job_id text,
        attempts int,
        gpu_seconds bigint,
        created_at timestamptz NOT NULL DEFAULT now(),
        ready_at timestamptz
      );
      CREATE INDEX model_suite ON catalogue.model (suite_id);
      CREATE TABLE catalogue.revision (
        model_id text,
        step int,
        commit text NOT NULL,
        tokens_seen bigint,
        bytes_seen bigint,
        loss double precision,
        weights_sha256 text,
        chain_sha256 text,
        files jsonb NOT NULL,
        size_bytes bigint NOT NULL,
        job_id text,
        attempt int,
        cluster_id text,
        committed_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT revision_pkey PRIMARY KEY (model_id, step)
      );
      CREATE INDEX revision_commit ON catalogue.revision (commit);
      CREATE TABLE catalogue.divergence (
        model_id text,
        step int,
        job_id text,
        attempt int,
        weights_sha256 text,
        seen_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT divergence_pkey PRIMARY KEY (model_id, step, job_id, attempt)
      );
      CREATE TABLE catalogue.evaluation (
        job_id text,
        model_id text,
        step int,
        study_id text,
        results jsonb NOT NULL,
        receipt jsonb,
        reported_at timestamptz NOT NULL,
        CONSTRAINT evaluation_pkey PRIMARY KEY (job_id, model_id, step)
      );
      CREATE INDEX evaluation_model ON catalogue.evaluation (model_id, step);
      `,
    ),
    sqlMigration(
      'catalogue-0002-closed-models',
      1_795_000_030_002,
      `
      ALTER TABLE catalogue.model
        ADD COLUMN upstream text,
        ADD COLUMN upstream_model text,
        DROP CONSTRAINT model_state_check,
        ADD CONSTRAINT model_state_check
          CHECK (state IN ('planned', 'training', 'ready', 'failed', 'imported', 'listed')),
        ADD CONSTRAINT model_listed_check
          CHECK ((state = 'listed') = (upstream IS NOT NULL AND upstream_model IS NOT NULL));
      `,
    ),
    sqlMigration(
      'catalogue-0003-withdrawn-models',
      1_795_000_030_003,
      `
      ALTER TABLE catalogue.model
        DROP CONSTRAINT model_state_check,
        ADD CONSTRAINT model_state_check
          CHECK (state IN ('planned', 'training', 'ready', 'failed', 'imported', 'listed', 'withdrawn')),
        DROP CONSTRAINT model_listed_check,
        ADD CONSTRAINT model_listed_check
          CHECK ((state IN ('listed', 'withdrawn')) = (upstream IS NOT NULL AND upstream_model IS NOT NULL));
      `,
    ),
  ],
};
