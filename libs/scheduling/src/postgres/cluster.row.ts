import { Check, Column, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';

@Entity({ schema: 'scheduling', name: 'cluster' })
@Check('cluster_state_known', `state IN ('active', 'draining', 'drained', 'down', 'retired')`)
@Index('cluster_name', ['name'], { unique: true })
export class ClusterRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'cluster_pkey' }) id!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'text', default: 'down' }) state!: string;
  @Column({ type: 'text', name: 'state_reason', nullable: true }) stateReason!: string | null;
  @Column({ type: 'boolean', name: 'drain_requested', default: false }) drainRequested!: boolean;
  @Column({ type: 'boolean', name: 'agent_draining', default: false }) agentDraining!: boolean;
  @Column({ type: 'jsonb', nullable: true }) inventory!: unknown;
  @Column({ type: 'jsonb', nullable: true }) policy!: unknown;
  /** Null while its claim of GPUs is believed; see domain/trusted-capacity.ts. */
  @Column({ type: 'jsonb', nullable: true }) trust!: unknown;
  @Column({ type: 'text', name: 'agent_version', nullable: true }) agentVersion!: string | null;
  @Column({ type: 'text', name: 'instance_id', nullable: true }) instanceId!: string | null;
  @Column({ type: 'int', default: 0 }) incarnation!: number;
  /** Of the process, and the version within it, that last said which inputs lie here; and how many they are. */
  @Column({ type: 'int', name: 'cache_incarnation', default: 0 }) cacheIncarnation!: number;
  @Column({ type: 'bigint', name: 'cache_version', default: 0 }) cacheVersion!: string;
  @Column({ type: 'int', name: 'cached_inputs', default: 0 }) cachedInputs!: number;
  @Column({ type: 'timestamptz', name: 'last_seen_at', nullable: true }) lastSeenAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

/** Agent processes that a cluster has had, by the id that each gave itself. */
@Entity({ schema: 'scheduling', name: 'agent_instance' })
export class AgentInstanceRow {
  @PrimaryColumn({ type: 'text', name: 'cluster_id', primaryKeyConstraintName: 'agent_instance_pkey' })
  clusterId!: string;
  @PrimaryColumn({ type: 'text', name: 'instance_id', primaryKeyConstraintName: 'agent_instance_pkey' })
  instanceId!: string;
  @Column({ type: 'int' }) incarnation!: number;
}

/** An input that a cluster keeps for later jobs, by the first digits of its SHA-256. */
@Entity({ schema: 'scheduling', name: 'cached_input' })
@Index('cached_input_of_cluster', ['clusterId'])
export class CachedInputRow {
  @PrimaryColumn({ type: 'text', collation: 'C', primaryKeyConstraintName: 'cached_input_pkey' })
  digits!: string;
  @PrimaryColumn({ type: 'text', name: 'cluster_id', primaryKeyConstraintName: 'cached_input_pkey' })
  clusterId!: string;
}

/** A cluster that did not take a job: it is not offered it again before `until`. */
@Entity({ schema: 'scheduling', name: 'decline' })
export class DeclineRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'decline_pkey' }) jobId!: string;
  @PrimaryColumn({ type: 'text', name: 'cluster_id', primaryKeyConstraintName: 'decline_pkey' })
  clusterId!: string;
  @Column({ type: 'timestamptz' }) until!: Date;
  @Column({ type: 'text' }) reason!: string;
}

/** GPU-seconds that a lab promised to a round. */
@Entity({ schema: 'scheduling', name: 'pledge' })
export class PledgeRow {
  @PrimaryColumn({ type: 'text', name: 'round_id', primaryKeyConstraintName: 'pledge_pkey' })
  roundId!: string;
  @PrimaryColumn({ type: 'text', name: 'lab_id', primaryKeyConstraintName: 'pledge_pkey' }) labId!: string;
  @Column({ type: 'bigint', name: 'gpu_seconds' }) gpuSeconds!: string;
}

/** Recent use of an owner, decayed to `asOf`. */
@Entity({ schema: 'scheduling', name: 'owner_usage' })
export class OwnerUsageRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'owner_usage_pkey' }) owner!: string;
  @Column({ type: 'double precision', name: 'gpu_seconds' }) gpuSeconds!: number;
  /** Lent to others less borrowed from them. */
  @Column({ type: 'double precision', name: 'credit_gpu_seconds', default: 0 }) creditGpuSeconds!: number;
  @Column({ type: 'timestamptz', name: 'as_of' }) asOf!: Date;
}

/** What statements added to the queue or took from it; the sum over an owner's rows is what it has waiting. */
@Entity({ schema: 'scheduling', name: 'queue_depth' })
export class QueueDepthRow {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'BY DEFAULT',
    primaryKeyConstraintName: 'queue_depth_pkey',
  })
  id!: string;
  @Column({ type: 'text' }) owner!: string;
  @Column({ type: 'int' }) jobs!: number;
  @Column({ type: 'bigint' }) gpus!: string;
}
