import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** What a client asked for as a task; its work is the job of the same id. */
@Entity({ schema: 'scheduling', name: 'task' })
@Index('task_of_space', ['space', 'jobId'])
export class TaskRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'task_pkey' }) jobId!: string;
  /** Lab or allocation for which it runs and whose files it may touch. */
  @Column({ type: 'text' }) space!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'jsonb' }) tags!: unknown;
  @Column({ type: 'jsonb' }) document!: unknown;
  @Column({ type: 'jsonb' }) notices!: unknown;
}

/** What the commands of an attempt did, as its agent last told it. */
@Entity({ schema: 'scheduling', name: 'command_log' })
export class CommandLogRow {
  @PrimaryColumn({ type: 'text', name: 'job_id', primaryKeyConstraintName: 'command_log_pkey' })
  jobId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'command_log_pkey' }) attempt!: number;
  @Column({ type: 'int', default: -1 }) seq!: number;
  @Column({ type: 'boolean', name: 'command_failed', default: false }) commandFailed!: boolean;
  @Column({ type: 'jsonb', default: {} }) report!: unknown;
  @Column({ type: 'jsonb', default: [] }) outputs!: unknown;
}

/** A name in a space and the object that it stands for. */
@Entity({ schema: 'scheduling', name: 'space_file' })
export class SpaceFileRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'space_file_pkey' }) space!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'space_file_pkey', collation: 'C' }) path!: string;
  @Column({ type: 'text', name: 'object_key' }) objectKey!: string;
  @Column({ type: 'bigint', name: 'size_bytes' }) sizeBytes!: string;
  @Column({ type: 'text' }) sha256!: string;
  @Column({ type: 'text', name: 'job_id', nullable: true }) jobId!: string | null;
  @Column({ type: 'timestamptz', name: 'updated_at', default: () => 'now()' }) updatedAt!: Date;
}
