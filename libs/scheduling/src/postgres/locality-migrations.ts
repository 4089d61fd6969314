import { sqlMigration } from '@beamtime/platform';

/** Which inputs lie at which cluster, as its agent last said. */
export const localityMigrations = [
  sqlMigration(
    'scheduling-0051-cached-inputs',
    1_795_000_040_051,
    `
    ALTER TABLE scheduling.cluster ADD COLUMN cache_incarnation integer NOT NULL DEFAULT 0,
      ADD COLUMN cache_version bigint NOT NULL DEFAULT 0,
      ADD COLUMN cached_inputs integer NOT NULL DEFAULT 0;
    CREATE TABLE scheduling.cached_input (
      digits text COLLATE "C" NOT NULL,
      cluster_id text NOT NULL,
      CONSTRAINT cached_input_pkey PRIMARY KEY (digits, cluster_id)
    );
    CREATE INDEX cached_input_of_cluster ON scheduling.cached_input (cluster_id);
    `,
  ),
];
