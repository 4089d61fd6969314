import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

@Entity({ schema: 'scheduling', name: 'job' })
@Check('job_state_known', `state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')`)
@Check('job_blocked_by_count', 'blocked_by >= 0')
@Check('job_share_of_one_gpu', 'gpu_share_milli = 1000 OR (gpu_share_milli BETWEEN 1 AND 999 AND gpus = 1)')
@Check('job_elastic', 'gpus_min IS NULL OR (gpus_min BETWEEN 1 AND gpus - 1 AND gpu_share_milli = 1000)')
@Check('job_unplanned_is_blocked', 'unplanned IS NULL OR blocked_by > 0')
@Index('job_request_key', ['requestKey'], { unique: true })
@Index('job_waiting', ['owner', 'shape', 'priority', 'submittedAt', 'id'], {
  where: `state = 'queued' AND retry_at IS NULL AND blocked_by = 0`,
})
@Index('job_backing_off', ['retryAt'], { where: `state = 'queued' AND retry_at IS NOT NULL` })
@Index('job_cancelling', ['id'], { where: `state = 'running' AND cancel_requested_at IS NOT NULL` })
@Index('job_deadline', ['deadline'], {
  where: `deadline IS NOT NULL AND state IN ('queued', 'running') AND cancel_requested_at IS NULL`,
})
@Index('job_unfinished_of_lab', ['labId'], { where: `state IN ('queued', 'running')` })
@Index('job_unfinished_of_person', ['submittedBy'], { where: `state IN ('queued', 'running')` })
@Index('job_unfinished_of_suite', ['suiteId'], {
  where: `state IN ('queued', 'running') AND suite_id IS NOT NULL`,
})
@Index('job_unfinished_of_study', ['studyId'], {
  where: `state IN ('queued', 'running') AND study_id IS NOT NULL`,
})
@Check('job_replica_serves', `replica IS NULL OR (replica > 0 AND kind = 'serve' AND model_id IS NOT NULL)`)
@Check('job_leaving_replica', 'leaving_at IS NULL OR replica IS NOT NULL')
@Index('job_serving', ['modelId'], { where: `kind = 'serve' AND state IN ('queued', 'running')` })
@Index('job_replica_once', ['modelId', 'replica'], {
  unique: true,
  where: `kind = 'serve' AND replica IS NOT NULL AND leaving_at IS NULL AND cancel_requested_at IS NULL AND state IN ('queued', 'running')`,
})
@Index('job_in_state', ['state', 'id'])
@Index('job_suite', ['suiteId'])
@Index('job_model', ['modelId'])
@Index('job_updated', ['updatedAt'])
export class JobRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'job_pkey' }) id!: string;
  @Column({ type: 'text' }) kind!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'text', default: 'queued' }) state!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  @Column({ type: 'text' }) owner!: string;
  @Column({ type: 'text', name: 'lab_id', nullable: true }) labId!: string | null;
  @Column({ type: 'text', name: 'suite_id', nullable: true }) suiteId!: string | null;
  @Column({ type: 'text', name: 'model_id', nullable: true }) modelId!: string | null;
  @Column({ type: 'text', name: 'study_id', nullable: true }) studyId!: string | null;
  @Column({ type: 'jsonb' }) runner!: unknown;
  @Column({ type: 'jsonb' }) inputs!: unknown;
  @Column({ type: 'int' }) gpus!: number;
  /** Null, or the fewest GPUs that it runs with. */
  @Column({ type: 'int', name: 'gpus_min', nullable: true }) gpusMin!: number | null;
  @Column({ type: 'int', name: 'gpu_share_milli', default: 1000 }) gpuShareMilli!: number;
  @Column({ type: 'text', name: 'gpu_type', nullable: true }) gpuType!: string | null;
  @Column({ type: 'int', name: 'gpu_memory_mib', nullable: true }) gpuMemoryMiB!: number | null;
  @Column({ type: 'int', name: 'max_seconds' }) maxSeconds!: number;
  @Column({ type: 'boolean' }) checkpointable!: boolean;
  @Column({ type: 'int' }) priority!: number;
  /** What clusters judge it by, see `shapeOf`. */
  @Column({ type: 'text', default: '' }) shape!: string;
  @Column({ type: 'int', name: 'attempt_limit' }) attemptLimit!: number;
  @Column({ type: 'int', default: 0 }) attempts!: number;
  @Column({ type: 'int', default: 0 }) failures!: number;
  @Column({ type: 'timestamptz', name: 'retry_at', nullable: true }) retryAt!: Date | null;
  @Column({ type: 'int', name: 'blocked_by', default: 0 }) blockedBy!: number;
  @Column({ type: 'int', default: 0 }) followers!: number;
  @Column({ type: 'timestamptz', nullable: true }) deadline!: Date | null;
  /** Which of the replicas of its model it is; no two that do not leave have one number. */
  @Column({ type: 'int', nullable: true }) replica!: number | null;
  /** Since when it gets no new requests. */
  @Column({ type: 'timestamptz', name: 'leaving_at', nullable: true }) leavingAt!: Date | null;
  /** What an app needs to plan its work later; null once `runner` and `inputs` say what it does. */
  @Column({ type: 'jsonb', nullable: true }) unplanned!: unknown;
  @Column({ type: 'text', name: 'request_key', nullable: true }) requestKey!: string | null;
  @Column({ type: 'jsonb', nullable: true }) account!: unknown;
  @Column({ type: 'bigint', name: 'gpu_seconds_held', default: 0 }) gpuSecondsHeld!: string;
  @Column({ type: 'bigint', name: 'gpu_seconds_used', default: 0 }) gpuSecondsUsed!: string;
  @Column({ type: 'int', name: 'seconds_used', default: 0 }) secondsUsed!: number;
  @Column({ type: 'timestamptz', name: 'cancel_requested_at', nullable: true })
  cancelRequestedAt!: Date | null;
  @Column({ type: 'text', name: 'cancel_reason', nullable: true }) cancelReason!: string | null;
  @Column({ type: 'text', name: 'cancel_actor', nullable: true }) cancelActor!: string | null;
  @Column({ type: 'jsonb', nullable: true }) resumable!: unknown;
  @Column({ type: 'bigint', name: 'resumable_step', nullable: true }) resumableStep!: string | null;
  @Column({ type: 'jsonb', nullable: true }) progress!: unknown;
  @Column({ type: 'int', default: 0 }) checkpoints!: number;
  @Column({ type: 'bigint', name: 'last_checkpoint_step', nullable: true }) lastCheckpointStep!:
    | string
    | null;
  @Column({ type: 'text', name: 'submitted_by' }) submittedBy!: string;
  @Column({ type: 'timestamptz', name: 'submitted_at', default: () => 'now()' }) submittedAt!: Date;
  @Column({ type: 'timestamptz', name: 'queued_at', default: () => 'now()' }) queuedAt!: Date;
  @Column({ type: 'timestamptz', name: 'started_at', nullable: true }) startedAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'ended_at', nullable: true }) endedAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'updated_at', default: () => 'now()' }) updatedAt!: Date;
}

/** A job that starts after another one has succeeded. */
@Entity({ schema: 'scheduling', name: 'dependency' })
@Check('dependency_of_another', 'job_id <> after_job_id')
@Index('dependency_followers', ['afterJobId'])
export class DependencyRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'dependency_pkey' })
  @ForeignKey(() => JobRow, { name: 'dependency_job_fkey', onDelete: 'CASCADE' })
  jobId!: string;
  @PrimaryColumn({ type: 'text', name: 'after_job_id', primaryKeyConstraintName: 'dependency_pkey' })
  @ForeignKey(() => JobRow, { name: 'dependency_after_job_fkey', onDelete: 'CASCADE' })
  afterJobId!: string;
  /** When the other one succeeded. */
  @Column({ type: 'timestamptz', name: 'met_at', nullable: true }) metAt!: Date | null;
}

@Entity({ schema: 'scheduling', name: 'checkpoint' })
export class CheckpointRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'checkpoint_pkey' })
  jobId!: string;
  @PrimaryColumn({ type: 'bigint', primaryKeyConstraintName: 'checkpoint_pkey' }) step!: string;
  @Column({ type: 'int' }) attempt!: number;
  @Column({ type: 'text' }) revision!: string;
  @Column({ type: 'text', name: 'weights_sha256' }) weightsSha256!: string;
  @Column({ type: 'text', name: 'chain_sha256' }) chainSha256!: string;
  @Column({ type: 'timestamptz', name: 'committed_at', default: () => 'now()' }) committedAt!: Date;
}

@Entity({ schema: 'scheduling', name: 'evaluation' })
export class EvaluationRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'evaluation_pkey' })
  jobId!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'evaluation_pkey' }) revision!: string;
  @Column({ type: 'int' }) attempt!: number;
  @Column({ type: 'timestamptz', name: 'committed_at', default: () => 'now()' }) committedAt!: Date;
}

@Entity({ schema: 'scheduling', name: 'artifact' })
export class ArtifactRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'artifact_pkey' }) jobId!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'artifact_pkey' }) name!: string;
  @Column({ type: 'int' }) attempt!: number;
  @Column({ type: 'text', name: 'media_type' }) mediaType!: string;
  @Column({ type: 'text', name: 'object_key' }) objectKey!: string;
  @Column({ type: 'bigint', name: 'size_bytes' }) sizeBytes!: string;
  @Column({ type: 'text' }) sha256!: string;
  @Column({ type: 'timestamptz', name: 'committed_at', default: () => 'now()' }) committedAt!: Date;
}

/** A job in the schedule that its lab would have had alone; gone when it would have ended there. */
@Entity({ schema: 'scheduling', name: 'shadow' })
@Check('shadow_runs_somewhere', '(cluster_id IS NULL) = (started_at IS NULL)')
@Index('shadow_waiting', ['owner', 'submittedAt', 'jobId'], { where: 'started_at IS NULL' })
@Index('shadow_running', ['owner'], { where: 'started_at IS NOT NULL' })
export class ShadowRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'shadow_pkey' }) jobId!: string;
  @Column({ type: 'text' }) owner!: string;
  @Column({ type: 'int' }) gpus!: number;
  @Column({ type: 'timestamptz', name: 'submitted_at' }) submittedAt!: Date;
  @Column({ type: 'text', name: 'cluster_id', nullable: true }) clusterId!: string | null;
  @Column({ type: 'timestamptz', name: 'started_at', nullable: true }) startedAt!: Date | null;
  @Column({ type: 'bigint', name: 'served_ms', default: 0 }) servedMs!: string;
}
