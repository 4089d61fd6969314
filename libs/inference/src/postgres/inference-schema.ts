import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import { CaptureRow, ServedModelRow } from './capture.row.js';

export const inferenceSchema: ContextSchema = {
  context: 'inference',
  entities: [CaptureRow, ServedModelRow],
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
  ],
};
