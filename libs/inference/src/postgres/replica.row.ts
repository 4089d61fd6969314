import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A model that is in use, has a floor or has replicas: how many of them are wanted now. */
@Entity({ schema: 'inference', name: 'served_model' })
@Check('served_model_wanted_replicas', 'wanted_replicas >= 0')
@Check('served_model_refusal', '(refusal IS NULL) = (refused_at IS NULL)')
@Index('served_model_idle', ['lastUsedAt'])
export class ServedModelRow {
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'served_model_pkey' })
  modelId!: string;
  @Column({ type: 'timestamptz', name: 'wanted_at', nullable: true }) wantedAt!: Date | null;
  /** Null: never. */
  @Column({ type: 'timestamptz', name: 'last_used_at', nullable: true, default: () => 'now()' })
  lastUsedAt!: Date | null;
  @Column({ type: 'int', name: 'wanted_replicas', default: 0 }) wantedReplicas!: number;
  /** Why a replica could not be started when it was last tried. */
  @Column({ type: 'text', nullable: true }) refusal!: string | null;
  @Column({ type: 'timestamptz', name: 'refused_at', nullable: true }) refusedAt!: Date | null;
}

/** Between what the replicas of a model are kept, where somebody has set other than the defaults. */
@Entity({ schema: 'inference', name: 'replica_bounds' })
@Check('replica_bounds_in_order', '0 <= floor AND floor <= ceiling AND ceiling BETWEEN 1 AND 32')
@Check('replica_bounds_target', 'target_in_flight BETWEEN 1 AND 64')
@Check('replica_bounds_idle', 'idle_seconds > 0')
@Check('replica_bounds_share', 'gpu_share_milli BETWEEN 1 AND 1000')
export class ReplicaBoundsRow {
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'replica_bounds_pkey' })
  modelId!: string;
  @Column({ type: 'int' }) floor!: number;
  @Column({ type: 'int' }) ceiling!: number;
  @Column({ type: 'int', name: 'target_in_flight' }) targetInFlight!: number;
  @Column({ type: 'int', name: 'idle_seconds' }) idleSeconds!: number;
  @Column({ type: 'int', name: 'gpu_share_milli', default: 1000 }) gpuShareMilli!: number;
  @Column({ type: 'text', name: 'set_by' }) setBy!: string;
  @Column({ type: 'timestamptz', name: 'set_at', default: () => 'now()' }) setAt!: Date;
}

/** What one gateway last told of one replica, or, without a job, of the requests that wait for one. */
@Entity({ schema: 'inference', name: 'model_load' })
export class ModelLoadRow {
  @PrimaryColumn({ type: 'text', name: 'instance_id', primaryKeyConstraintName: 'model_load_pkey' })
  instanceId!: string;
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'model_load_pkey' })
  modelId!: string;
  /** Empty for requests that wait. */
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'model_load_pkey' })
  jobId!: string;
  @Column({ type: 'int', name: 'in_flight' }) inFlight!: number;
  /** Over the time since the report before. */
  @Column({ type: 'double precision', name: 'mean_in_flight' }) meanInFlight!: number;
  @Column({ type: 'timestamptz', name: 'reported_at', default: () => 'now()' }) reportedAt!: Date;
}

/** The highest load of a model, over all gateways, in one slot of five seconds; a slot without load has no row. */
@Entity({ schema: 'inference', name: 'load_sample' })
export class LoadSampleRow {
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'load_sample_pkey' })
  modelId!: string;
  @PrimaryColumn({ type: 'bigint', primaryKeyConstraintName: 'load_sample_pkey' }) slot!: string;
  @Column({ type: 'double precision', name: 'in_flight' }) inFlight!: number;
}
