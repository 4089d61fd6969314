import { Check, Column, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';

const live = `state IN ('offered', 'accepted', 'staging', 'running', 'finalizing')`;

@Entity({ schema: 'scheduling', name: 'attempt' })
@Check(
  'attempt_state_known',
  `state IN ('offered', 'accepted', 'staging', 'running', 'finalizing',
          'succeeded', 'failed', 'cancelled', 'preempted', 'lost', 'expired')`,
)
@Check(
  'attempt_part_of_one_gpu',
  '(gpu_share_milli < 1000) = (gpu_slot IS NOT NULL) AND (gpu_slot IS NULL OR gpus = 1)',
)
@Index('attempt_one_live', ['jobId'], { unique: true, where: live })
@Index('attempt_live_of_cluster', ['clusterId'], { where: live })
@Index('attempt_sharing', ['clusterId', 'gpuSlot'], { where: `gpu_slot IS NOT NULL AND ${live}` })
@Index('attempt_offered', ['clusterId'], { where: `state = 'offered'` })
@Index('attempt_preempting', ['clusterId'], {
  where: `preempt_reason IS NOT NULL AND state IN ('accepted', 'staging', 'running', 'finalizing')`,
})
export class AttemptRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'attempt_pkey' }) jobId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'attempt_pkey' }) number!: number;
  @Column({ type: 'text', name: 'cluster_id' }) clusterId!: string;
  @Column({ type: 'int', nullable: true }) incarnation!: number | null;
  @Column({ type: 'text', default: 'offered' }) state!: string;
  @Column({ type: 'int' }) gpus!: number;
  @Column({ type: 'int', name: 'gpu_share_milli', default: 1000 }) gpuShareMilli!: number;
  @Column({ type: 'int', name: 'gpu_slot', nullable: true }) gpuSlot!: number | null;
  @Column({ type: 'text' }) owner!: string;
  @Column({ type: 'timestamptz', name: 'offered_at', default: () => 'now()' }) offeredAt!: Date;
  @Column({ type: 'timestamptz', name: 'offer_expires_at' }) offerExpiresAt!: Date;
  @Column({ type: 'timestamptz', name: 'accepted_at', nullable: true }) acceptedAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'running_at', nullable: true }) runningAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'ended_at', nullable: true }) endedAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'lease_expires_at', nullable: true }) leaseExpiresAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'renewed_at', nullable: true }) renewedAt!: Date | null;
  @Column({ type: 'text', name: 'preempt_reason', nullable: true }) preemptReason!: string | null;
  @Column({ type: 'bigint', name: 'gpu_seconds', default: 0 }) gpuSeconds!: string;
  @Column({ type: 'int', name: 'exit_code', nullable: true }) exitCode!: number | null;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  @Column({ type: 'bigint', name: 'resumed_from_step', nullable: true }) resumedFromStep!: string | null;
  @Column({ type: 'bigint', name: 'next_event_seq', default: 0 }) nextEventSeq!: string;
  @Column({ type: 'bigint', name: 'log_bytes', default: 0 }) logBytes!: string;
  @Column({ type: 'bigint', name: 'log_bytes_dropped', default: 0 }) logBytesDropped!: string;
  @Column({ type: 'int', name: 'metric_points', default: 0 }) metricPoints!: number;
  @Column({ type: 'bigint', name: 'upload_bytes', default: 0 }) uploadBytes!: string;
}

/** History: appended, never changed. */
@Entity({ schema: 'scheduling', name: 'job_event' })
@Index('job_event_of_job', ['jobId', 'id'])
export class JobEventRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'BY DEFAULT',
    primaryKeyConstraintName: 'job_event_pkey',
  })
  id!: string;
  @Column({ type: 'text', name: 'job_id' }) jobId!: string;
  @Column({ type: 'int', nullable: true }) attempt!: number | null;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
  @Column({ type: 'text' }) subject!: string;
  @Column({ type: 'text', name: 'from_state', nullable: true }) fromState!: string | null;
  @Column({ type: 'text', name: 'to_state' }) toState!: string;
  @Column({ type: 'text' }) actor!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
}

@Entity({ schema: 'scheduling', name: 'job_log' })
export class JobLogRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'job_log_pkey' }) jobId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'job_log_pkey' }) attempt!: number;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'job_log_pkey' }) seq!: number;
  @Column({ type: 'bigint', name: 'offset_bytes' }) offsetBytes!: string;
  @Column({ type: 'text' }) stream!: string;
  @Column({ type: 'text' }) text!: string;
}

@Entity({ schema: 'scheduling', name: 'job_metric' })
export class JobMetricRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'job_metric_pkey' })
  jobId!: string;
  @PrimaryColumn({ type: 'bigint', primaryKeyConstraintName: 'job_metric_pkey' }) step!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'job_metric_pkey' }) attempt!: number;
  @Column({ type: 'double precision', nullable: true }) loss!: number | null;
  @Column({ type: 'double precision', name: 'tokens_per_second', nullable: true }) tokensPerSecond!:
    | number
    | null;
}
