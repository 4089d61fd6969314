import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** How many jobs of a lab, a person or a project may be unfinished at the same time. */
@Entity({ schema: 'scheduling', name: 'quota' })
@Check('quota_scope_known', `scope IN ('lab', 'person', 'project')`)
@Check('quota_not_negative', 'max_unfinished_jobs >= 0')
export class QuotaRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'quota_pkey' }) scope!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'quota_pkey' }) subject!: string;
  @Column({ type: 'int', name: 'max_unfinished_jobs' }) maxUnfinishedJobs!: number;
  @Column({ type: 'text', name: 'set_by' }) setBy!: string;
  @Column({ type: 'timestamptz', name: 'set_at', default: () => 'now()' }) setAt!: Date;
}
