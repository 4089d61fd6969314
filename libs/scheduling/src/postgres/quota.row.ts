import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** How many jobs of a lab, a person or a project may be unfinished, and how many GPUs they may hold, at the same time. */
@Entity({ schema: 'scheduling', name: 'quota' })
@Check('quota_scope_known', `scope IN ('lab', 'person', 'project')`)
@Check('quota_not_negative', 'max_unfinished_jobs >= 0')
@Check('quota_gpus_not_negative', 'max_gpus_at_once >= 0')
@Check('quota_of_something', 'max_unfinished_jobs IS NOT NULL OR max_gpus_at_once IS NOT NULL')
export class QuotaRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'quota_pkey' }) scope!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'quota_pkey' }) subject!: string;
  /** Null: any number. */
  @Column({ type: 'int', name: 'max_unfinished_jobs', nullable: true }) maxUnfinishedJobs!: number | null;
  /** GPUs of live attempts. Null: any number. */
  @Column({ type: 'int', name: 'max_gpus_at_once', nullable: true }) maxGpusAtOnce!: number | null;
  @Column({ type: 'text', name: 'set_by' }) setBy!: string;
  @Column({ type: 'timestamptz', name: 'set_at', default: () => 'now()' }) setAt!: Date;
}
