import { sqlMigration } from '@beamtime/platform';

/** Jobs that have a part of a GPU, and the GPUs that attempts share. */
export const gpuShareMigrations = [
  sqlMigration(
    'scheduling-0030-parts-of-gpus',
    1_795_000_040_030,
    `
    ALTER TABLE scheduling.job ADD COLUMN gpu_share_milli integer NOT NULL DEFAULT 1000,
      ADD CONSTRAINT job_share_of_one_gpu
        CHECK (gpu_share_milli = 1000 OR (gpu_share_milli BETWEEN 1 AND 999 AND gpus = 1));
    ALTER TABLE scheduling.attempt ADD COLUMN gpu_share_milli integer NOT NULL DEFAULT 1000,
      ADD COLUMN gpu_slot integer,
      ADD CONSTRAINT attempt_part_of_one_gpu
        CHECK ((gpu_share_milli < 1000) = (gpu_slot IS NOT NULL) AND (gpu_slot IS NULL OR gpus = 1));
    CREATE INDEX attempt_sharing ON scheduling.attempt (cluster_id, gpu_slot)
      WHERE gpu_slot IS NOT NULL AND state IN ('offered', 'accepted', 'staging', 'running', 'finalizing');
    -- Live attempts never hold more of a shared GPU than there is, whatever a scheduler believes. The lock makes those
    -- who enter the same GPU take turns; who leaves needs none, since that only makes room.
    CREATE FUNCTION scheduling.guard_shared_gpu() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE held integer;
    BEGIN
      PERFORM pg_advisory_xact_lock(hashtextextended('shared-gpu/' || NEW.cluster_id || '/' || NEW.gpu_slot, 0));
      SELECT sum(gpu_share_milli) INTO held FROM scheduling.attempt
      WHERE cluster_id = NEW.cluster_id AND gpu_slot = NEW.gpu_slot
        AND state IN ('offered', 'accepted', 'staging', 'running', 'finalizing');
      IF held > 1000 THEN
        RAISE EXCEPTION 'shared GPU % of % would be given out to % thousandths', NEW.gpu_slot, NEW.cluster_id, held
          USING ERRCODE = 'check_violation', CONSTRAINT = 'attempt_shared_gpu_full';
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER attempt_enters_shared_gpu AFTER INSERT ON scheduling.attempt
      FOR EACH ROW WHEN (NEW.gpu_slot IS NOT NULL) EXECUTE FUNCTION scheduling.guard_shared_gpu();
    CREATE TRIGGER attempt_changes_shared_gpu
      AFTER UPDATE OF cluster_id, gpu_slot, gpu_share_milli ON scheduling.attempt
      FOR EACH ROW WHEN (NEW.gpu_slot IS NOT NULL) EXECUTE FUNCTION scheduling.guard_shared_gpu();
    `,
  ),
];
