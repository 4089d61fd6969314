import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import { CaptureRow } from './capture.row.js';
import { LoadSampleRow, ModelLoadRow, ReplicaBoundsRow, ServedModelRow } from './replica.row.js';

export const inferenceSchema: ContextSchema = {
  context: 'inference',
  entities: [CaptureRow, ServedModelRow, ReplicaBoundsRow, ModelLoadRow, LoadSampleRow],
  migrations: [
    sqlMigration(
      'inference-0001-captures-served-models',
      1_795_000_060_001,
      `
      CREATE TABLE inference.capture (
        id text PRIMARY KEY,
        allocation_id text NOT NULL,
        model_name text NOT NULL,
        revision text NOT NULL,
        object_key text NOT NULL,
        size_bytes bigint NOT NULL,
        sha256 text NOT NULL,
        tensors jsonb NOT NULL,
        receipt jsonb NOT NULL,
        usage jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE INDEX capture_allocation ON inference.capture (allocation_id, created_at);
      CREATE TABLE inference.served_model (
        model_id text PRIMARY KEY,
        wanted_at timestamptz,
        last_used_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE INDEX served_model_idle ON inference.served_model (last_used_at);
      `,
    ),
    sqlMigration(
      'inference-0002-replicas',
      1_795_000_060_002,
      `
      ALTER TABLE inference.served_model
        ALTER COLUMN last_used_at DROP NOT NULL,
        ADD COLUMN wanted_replicas integer NOT NULL DEFAULT 0,
        ADD COLUMN refusal text,
        ADD COLUMN refused_at timestamptz,
        ADD CONSTRAINT served_model_wanted_replicas CHECK (wanted_replicas >= 0),
        ADD CONSTRAINT served_model_refusal CHECK ((refusal IS NULL) = (refused_at IS NULL));
      CREATE TABLE inference.replica_bounds (
        model_id text CONSTRAINT replica_bounds_pkey PRIMARY KEY,
        floor integer NOT NULL,
        ceiling integer NOT NULL,
        target_in_flight integer NOT NULL,
        idle_seconds integer NOT NULL,
        set_by text NOT NULL,
        set_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT replica_bounds_in_order CHECK (0 <= floor AND floor <= ceiling AND ceiling BETWEEN 1 AND 32),
        CONSTRAINT replica_bounds_target CHECK (target_in_flight BETWEEN 1 AND 64),
        CONSTRAINT replica_bounds_idle CHECK (idle_seconds > 0)
      );
      CREATE TABLE inference.model_load (
        instance_id text NOT NULL,
        model_id text NOT NULL,
        job_id text NOT NULL,
        in_flight integer NOT NULL,
        mean_in_flight double precision NOT NULL,
        reported_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT model_load_pkey PRIMARY KEY (instance_id, model_id, job_id)
      );
      CREATE TABLE inference.load_sample (
        model_id text NOT NULL,
        slot bigint NOT NULL,
        in_flight double precision NOT NULL,
        CONSTRAINT load_sample_pkey PRIMARY KEY (model_id, slot)
      );
      `,
    ),
    sqlMigration(
      'inference-0003-parts-of-gpus',
      1_795_000_060_003,
      `
      ALTER TABLE inference.replica_bounds ADD COLUMN gpu_share_milli integer NOT NULL DEFAULT 1000,
        ADD CONSTRAINT replica_bounds_share CHECK (gpu_share_milli BETWEEN 1 AND 1000);
      `,
    ),
  ],
};
