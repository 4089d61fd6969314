import { Check, Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';

@Entity({ schema: 'catalogue', name: 'corpus' })
@Unique('corpus_name_key', ['name'])
@Check('corpus_state_check', `state IN ('registered', 'ready', 'rejected')`)
export class CorpusRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'corpus_pkey' }) id!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'text' }) description!: string;
  @Column({ type: 'text' }) language!: string;
  @Column({ type: 'text' }) script!: string;
  @Column({ type: 'text' }) format!: string;
  @Column({ type: 'bigint', name: 'size_bytes' }) sizeBytes!: string;
  @Column({ type: 'text' }) sha256!: string;
  @Column({ type: 'text', name: 'object_key' }) objectKey!: string;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  @Column({ type: 'text', name: 'lab_id', nullable: true }) labId!: string | null;
  @Column({ type: 'text', name: 'uploaded_by' }) uploadedBy!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'ready_at', nullable: true }) readyAt!: Date | null;
}

@Entity({ schema: 'catalogue', name: 'suite' })
@Unique('suite_name_key', ['name'])
@Check('suite_origin_check', `origin IN ('round', 'secretariat')`)
export class SuiteRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'suite_pkey' }) id!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'jsonb' }) design!: unknown;
  @Column({ type: 'text' }) origin!: string;
  @Column({ type: 'text', name: 'round_id', nullable: true }) roundId!: string | null;
  @Column({ type: 'text', name: 'proposal_id', nullable: true }) proposalId!: string | null;
  @Column({ type: 'text', name: 'lab_id', nullable: true }) labId!: string | null;
  @Column({ type: 'text', name: 'certificate_sha256', nullable: true }) certificateSha256!: string | null;
  @Column({ type: 'bigint', name: 'gpu_seconds_reserved' }) gpuSecondsReserved!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

@Entity({ schema: 'catalogue', name: 'model' })
@Unique('model_name_key', ['nameKey'])
@Index('model_suite', ['suiteId'])
@Check(
  'model_state_check',
  `state IN ('planned', 'training', 'ready', 'failed', 'imported', 'listed', 'withdrawn')`,
)
@Check(
  'model_listed_check',
  `(state IN ('listed', 'withdrawn')) = (upstream IS NOT NULL AND upstream_model IS NOT NULL)`,
)
@Check('model_visibility_check', `visibility IN ('public', 'private')`)
export class ModelRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'model_pkey' }) id!: string;
  @Column({ type: 'text' }) name!: string;
  /** Lower case: no two models differ in case alone. */
  @Column({ type: 'text', name: 'name_key' }) nameKey!: string;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  @Column({ type: 'text' }) visibility!: string;
  @Column({ type: 'text', name: 'suite_id', nullable: true }) suiteId!: string | null;
  @Column({ type: 'text', name: 'lab_id', nullable: true }) labId!: string | null;
  @Column({ type: 'text', nullable: true }) source!: string | null;
  /** Of a closed model: the operator's name for who is asked, and the model's name there. */
  @Column({ type: 'text', nullable: true }) upstream!: string | null;
  @Column({ type: 'text', name: 'upstream_model', nullable: true }) upstreamModel!: string | null;
  @Column({ type: 'text', name: 'created_by' }) createdBy!: string;
  @Column({ type: 'jsonb', nullable: true }) levels!: unknown;
  @Column({ type: 'jsonb' }) factors!: unknown;
  @Column({ type: 'jsonb', nullable: true }) resolved!: unknown;
  /** Revisions announced by an import and not yet seen in the store. */
  @Column({ type: 'jsonb', nullable: true }) announced!: unknown;
  @Column({ type: 'text', name: 'job_id', nullable: true }) jobId!: string | null;
  @Column({ type: 'int', nullable: true }) attempts!: number | null;
  @Column({ type: 'bigint', name: 'gpu_seconds', nullable: true }) gpuSeconds!: string | null;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'ready_at', nullable: true }) readyAt!: Date | null;
}

@Entity({ schema: 'catalogue', name: 'revision' })
@Index('revision_commit', ['commit'])
export class RevisionRow {
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'revision_pkey' })
  modelId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'revision_pkey' }) step!: number;
  @Column({ type: 'text' }) commit!: string;
  @Column({ type: 'bigint', name: 'tokens_seen', nullable: true }) tokensSeen!: string | null;
  @Column({ type: 'bigint', name: 'bytes_seen', nullable: true }) bytesSeen!: string | null;
  @Column({ type: 'double precision', nullable: true }) loss!: number | null;
  @Column({ type: 'text', name: 'weights_sha256', nullable: true }) weightsSha256!: string | null;
  @Column({ type: 'text', name: 'chain_sha256', nullable: true }) chainSha256!: string | null;
  @Column({ type: 'jsonb' }) files!: unknown;
  @Column({ type: 'bigint', name: 'size_bytes' }) sizeBytes!: string;
  @Column({ type: 'text', name: 'job_id', nullable: true }) jobId!: string | null;
  @Column({ type: 'int', nullable: true }) attempt!: number | null;
  @Column({ type: 'text', name: 'cluster_id', nullable: true }) clusterId!: string | null;
  @Column({ type: 'timestamptz', name: 'committed_at', default: () => 'now()' }) committedAt!: Date;
}

/** A revision that a restarted attempt made again with other bits: restarts were not exact. */
@Entity({ schema: 'catalogue', name: 'divergence' })
export class DivergenceRow {
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'divergence_pkey' })
  modelId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'divergence_pkey' }) step!: number;
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'divergence_pkey' })
  jobId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'divergence_pkey' }) attempt!: number;
  @Column({ type: 'text', name: 'weights_sha256', nullable: true }) weightsSha256!: string | null;
  @Column({ type: 'timestamptz', name: 'seen_at', default: () => 'now()' }) seenAt!: Date;
}

@Entity({ schema: 'catalogue', name: 'evaluation' })
@Index('evaluation_model', ['modelId', 'step'])
export class EvaluationRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'evaluation_pkey' })
  jobId!: string;
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'evaluation_pkey' })
  modelId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'evaluation_pkey' }) step!: number;
  @Column({ type: 'text', name: 'study_id', nullable: true }) studyId!: string | null;
  @Column({ type: 'jsonb' }) results!: unknown;
  @Column({ type: 'jsonb', nullable: true }) receipt!: unknown;
  @Column({ type: 'timestamptz', name: 'reported_at' }) reportedAt!: Date;
}
