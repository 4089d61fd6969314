import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import { AttemptRow, JobEventRow, JobLogRow, JobMetricRow } from './attempt.row.js';
import {
  AgentInstanceRow,
  CachedInputRow,
  ClusterRow,
  DeclineRow,
  OwnerUsageRow,
  PledgeRow,
  QueueDepthRow,
} from './cluster.row.js';
import { deepQueueMigrations } from './deep-queue-migrations.js';
import { dependencyMigrations } from './dependency-migrations.js';
import { elasticMigrations } from './elastic-migrations.js';
import { gpuShareMigrations } from './gpu-share-migrations.js';
import { ArtifactRow, CheckpointRow, DependencyRow, EvaluationRow, JobRow, ShadowRow } from './job.row.js';
import { localityMigrations } from './locality-migrations.js';
import { QuotaRow } from './quota.row.js';
import { quotaMigrations } from './quota-migrations.js';
import { replicaMigrations } from './replica-migrations.js';
import { CommandLogRow, SpaceFileRow, TaskRow } from './task.row.js';

export const schedulingSchema: ContextSchema = {
  context: 'scheduling',
  entities: [
    AgentInstanceRow,
    ClusterRow,
    CachedInputRow,
    DeclineRow,
    PledgeRow,
    OwnerUsageRow,
    QueueDepthRow,
    JobRow,
    DependencyRow,
    CheckpointRow,
    EvaluationRow,
    ArtifactRow,
    AttemptRow,
    JobEventRow,
    JobLogRow,
    JobMetricRow,
    ShadowRow,
    QuotaRow,
    TaskRow,
    CommandLogRow,
    SpaceFileRow,
  ],
  migrations: [
    sqlMigration(
      'scheduling-0001-clusters-jobs-attempts',
      1_795_000_040_001,
      `
      CREATE TABLE scheduling.cluster (
        id text CONSTRAINT cluster_pkey PRIMARY KEY,
        lab_id text NOT NULL,
        name text NOT NULL,
        state text NOT NULL DEFAULT 'down',
        state_reason text,
        drain_requested boolean NOT NULL DEFAULT false,
        agent_draining boolean NOT NULL DEFAULT false,
        inventory jsonb,
        policy jsonb,
        agent_version text,
        instance_id text,
        incarnation integer NOT NULL DEFAULT 0,
        last_seen_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT cluster_state_known CHECK (state IN ('active', 'draining', 'drained', 'down', 'retired'))
      );
      CREATE UNIQUE INDEX cluster_name ON scheduling.cluster (name);

      CREATE TABLE scheduling.job (
        id text CONSTRAINT job_pkey PRIMARY KEY,
        kind text NOT NULL,
        name text NOT NULL,
        state text NOT NULL DEFAULT 'queued',
        reason text,
        owner text NOT NULL,
        lab_id text,
        suite_id text,
        model_id text,
        study_id text,
        runner jsonb NOT NULL,
        inputs jsonb NOT NULL,
        gpus integer NOT NULL,
        gpu_type text,
        gpu_memory_mib integer,
        max_seconds integer NOT NULL,
        checkpointable boolean NOT NULL,
        priority integer NOT NULL,
        attempt_limit integer NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        failures integer NOT NULL DEFAULT 0,
        retry_at timestamptz,
        request_key text,
        account jsonb,
        gpu_seconds_held bigint NOT NULL DEFAULT 0,
        gpu_seconds_used bigint NOT NULL DEFAULT 0,
        seconds_used integer NOT NULL DEFAULT 0,
        cancel_requested_at timestamptz,
        cancel_reason text,
        cancel_actor text,
        resumable jsonb,
        resumable_step bigint,
        progress jsonb,
        checkpoints integer NOT NULL DEFAULT 0,
        last_checkpoint_step bigint,
        submitted_by text NOT NULL,
        submitted_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        ended_at timestamptz,
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT job_state_known CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
        CONSTRAINT job_used_within_held CHECK (account IS NULL OR gpu_seconds_used <= gpu_seconds_held)
      );
      CREATE UNIQUE INDEX job_request_key ON scheduling.job (request_key);
      CREATE INDEX job_state ON scheduling.job (state, owner, priority, submitted_at);
      CREATE INDEX job_suite ON scheduling.job (suite_id);
      CREATE INDEX job_model ON scheduling.job (model_id);
      CREATE INDEX job_updated ON scheduling.job (updated_at);

      CREATE TABLE scheduling.attempt (
        job_id text NOT NULL,
        number integer NOT NULL,
        cluster_id text NOT NULL,
        incarnation integer,
        state text NOT NULL DEFAULT 'offered',
        gpus integer NOT NULL,
        owner text NOT NULL,
        offered_at timestamptz NOT NULL DEFAULT now(),
        offer_expires_at timestamptz NOT NULL,
        accepted_at timestamptz,
        running_at timestamptz,
        ended_at timestamptz,
        lease_expires_at timestamptz,
        renewed_at timestamptz,
        preempt_reason text,
        gpu_seconds bigint NOT NULL DEFAULT 0,
        exit_code integer,
        reason text,
        resumed_from_step bigint,
        next_event_seq bigint NOT NULL DEFAULT 0,
        log_bytes bigint NOT NULL DEFAULT 0,
        log_bytes_dropped bigint NOT NULL DEFAULT 0,
        metric_points integer NOT NULL DEFAULT 0,
        upload_bytes bigint NOT NULL DEFAULT 0,
        CONSTRAINT attempt_pkey PRIMARY KEY (job_id, number),
        CONSTRAINT attempt_state_known CHECK (state IN ('offered', 'accepted', 'staging', 'running', 'finalizing',
          'succeeded', 'failed', 'cancelled', 'preempted', 'lost', 'expired'))
      );
      -- A job never has two live attempts, whatever a scheduler believes.
      CREATE UNIQUE INDEX attempt_one_live ON scheduling.attempt (job_id)
        WHERE state IN ('offered', 'accepted', 'staging', 'running', 'finalizing');
      CREATE INDEX attempt_live_of_cluster ON scheduling.attempt (cluster_id)
        WHERE state IN ('offered', 'accepted', 'staging', 'running', 'finalizing');

      CREATE TABLE scheduling.job_event (
        id bigint GENERATED BY DEFAULT AS IDENTITY CONSTRAINT job_event_pkey PRIMARY KEY,
        job_id text NOT NULL,
        attempt integer,
        at timestamptz NOT NULL DEFAULT now(),
        subject text NOT NULL,
        from_state text,
        to_state text NOT NULL,
        actor text NOT NULL,
        reason text
      );
      CREATE INDEX job_event_of_job ON scheduling.job_event (job_id, id);
      CREATE TRIGGER job_event_append_only BEFORE UPDATE OR DELETE ON scheduling.job_event
        FOR EACH ROW EXECUTE FUNCTION platform.refuse_change();

      CREATE TABLE scheduling.job_log (
        job_id text NOT NULL,
        attempt integer NOT NULL,
        seq integer NOT NULL,
        offset_bytes bigint NOT NULL,
        stream text NOT NULL,
        text text NOT NULL,
        CONSTRAINT job_log_pkey PRIMARY KEY (job_id, attempt, seq)
      );
      CREATE TABLE scheduling.job_metric (
        job_id text NOT NULL,
        attempt integer NOT NULL,
        step bigint NOT NULL,
        loss double precision,
        tokens_per_second double precision,
        CONSTRAINT job_metric_pkey PRIMARY KEY (job_id, step, attempt)
      );
      CREATE TABLE scheduling.checkpoint (
        job_id text NOT NULL,
        step bigint NOT NULL,
        attempt integer NOT NULL,
        revision text NOT NULL,
        weights_sha256 text NOT NULL,
        chain_sha256 text NOT NULL,
        committed_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT checkpoint_pkey PRIMARY KEY (job_id, step)
      );
      CREATE TABLE scheduling.evaluation (
        job_id text NOT NULL,
        revision text NOT NULL,
        attempt integer NOT NULL,
        committed_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT evaluation_pkey PRIMARY KEY (job_id, revision)
      );
      CREATE TABLE scheduling.artifact (
        job_id text NOT NULL,
        name text NOT NULL,
        attempt integer NOT NULL,
        media_type text NOT NULL,
        object_key text NOT NULL,
        size_bytes bigint NOT NULL,
        sha256 text NOT NULL,
        committed_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT artifact_pkey PRIMARY KEY (job_id, name)
      );
      CREATE TABLE scheduling.decline (
        job_id text NOT NULL,
        cluster_id text NOT NULL,
        until timestamptz NOT NULL,
        reason text NOT NULL,
        CONSTRAINT decline_pkey PRIMARY KEY (job_id, cluster_id)
      );
      CREATE TABLE scheduling.pledge (
        round_id text NOT NULL,
        lab_id text NOT NULL,
        gpu_seconds bigint NOT NULL,
        CONSTRAINT pledge_pkey PRIMARY KEY (round_id, lab_id)
      );
      CREATE TABLE scheduling.owner_usage (
        owner text CONSTRAINT owner_usage_pkey PRIMARY KEY,
        gpu_seconds double precision NOT NULL,
        as_of timestamptz NOT NULL
      );
      `,
    ),
    // A suite's job holds its estimate; what it uses beyond is charged to the suite as far as that reaches.
    sqlMigration(
      'scheduling-0002-use-may-pass-the-hold',
      1_795_000_040_002,
      'ALTER TABLE scheduling.job DROP CONSTRAINT job_used_within_held;',
    ),
    // What a lab would have had alone, kept for each of its jobs; since when a job waits; credit for lending.
    sqlMigration(
      'scheduling-0005-shadows-and-credit',
      1_795_000_040_005,
      `
      ALTER TABLE scheduling.job ADD COLUMN queued_at timestamptz NOT NULL DEFAULT now();
      CREATE TABLE scheduling.shadow (
        job_id text CONSTRAINT shadow_pkey PRIMARY KEY,
        owner text NOT NULL,
        gpus integer NOT NULL,
        submitted_at timestamptz NOT NULL,
        cluster_id text,
        started_at timestamptz,
        served_ms bigint NOT NULL DEFAULT 0,
        CONSTRAINT shadow_runs_somewhere CHECK ((cluster_id IS NULL) = (started_at IS NULL))
      );
      CREATE INDEX shadow_waiting ON scheduling.shadow (owner, submitted_at, job_id) WHERE started_at IS NULL;
      CREATE INDEX shadow_running ON scheduling.shadow (owner) WHERE started_at IS NOT NULL;
      ALTER TABLE scheduling.owner_usage ADD COLUMN credit_gpu_seconds double precision NOT NULL DEFAULT 0;
      `,
    ),
    ...deepQueueMigrations,
    sqlMigration(
      'scheduling-0015-agent-instances',
      1_795_000_040_015,
      `
      CREATE TABLE scheduling.agent_instance (
        cluster_id text NOT NULL,
        instance_id text NOT NULL,
        incarnation integer NOT NULL,
        CONSTRAINT agent_instance_pkey PRIMARY KEY (cluster_id, instance_id)
      );
      INSERT INTO scheduling.agent_instance (cluster_id, instance_id, incarnation)
        SELECT id, instance_id, incarnation FROM scheduling.cluster WHERE instance_id IS NOT NULL;
      `,
    ),
    sqlMigration(
      'scheduling-0020-tasks-and-spaces',
      1_795_000_040_020,
      `
      CREATE TABLE scheduling.task (
        job_id text CONSTRAINT task_pkey PRIMARY KEY,
        space text NOT NULL,
        name text NOT NULL,
        tags jsonb NOT NULL,
        document jsonb NOT NULL,
        notices jsonb NOT NULL
      );
      CREATE INDEX task_of_space ON scheduling.task (space, job_id);
      CREATE TABLE scheduling.command_log (
        job_id text NOT NULL,
        attempt integer NOT NULL,
        seq integer NOT NULL DEFAULT -1,
        command_failed boolean NOT NULL DEFAULT false,
        report jsonb NOT NULL DEFAULT '{}',
        outputs jsonb NOT NULL DEFAULT '[]',
        CONSTRAINT command_log_pkey PRIMARY KEY (job_id, attempt)
      );
      CREATE TABLE scheduling.space_file (
        space text NOT NULL,
        path text COLLATE "C" NOT NULL,
        object_key text NOT NULL,
        size_bytes bigint NOT NULL,
        sha256 text NOT NULL,
        job_id text,
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT space_file_pkey PRIMARY KEY (space, path)
      );
      `,
    ),
    sqlMigration(
      'scheduling-0021-capacity-trust',
      1_795_000_040_021,
      'ALTER TABLE scheduling.cluster ADD COLUMN trust jsonb;',
    ),
    ...dependencyMigrations,
    ...quotaMigrations,
    ...replicaMigrations,
    ...localityMigrations,
    ...gpuShareMigrations,
    ...elasticMigrations,
  ],
};
