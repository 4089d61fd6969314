import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';

@Entity({ schema: 'studies', name: 'study' })
@Check('study_state_check', `state IN ('running', 'complete', 'incomplete')`)
class StudyEntity {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'study_pkey' }) id!: string;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'text' }) description!: string;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'jsonb' }) definition!: unknown;
  @Column({ type: 'boolean', name: 'is_private' }) isPrivate!: boolean;
  @Column({ type: 'text', name: 'lab_id', nullable: true }) labId!: string | null;
  @Column({ type: 'text', name: 'created_by' }) createdBy!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'ended_at', nullable: true }) endedAt!: Date | null;
}

@Entity({ schema: 'studies', name: 'study_job' })
@Index('study_job_job', ['jobId'], { unique: true })
@Check('study_job_state_check', `state IN ('running', 'succeeded', 'failed', 'cancelled')`)
class StudyJobEntity {
  @PrimaryColumn({ type: 'text', name: 'study_id', primaryKeyConstraintName: 'study_job_pkey' })
  studyId!: string;
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'study_job_pkey' })
  modelId!: string;
  @Column({ type: 'text', name: 'job_id' }) jobId!: string;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  /** The model as the catalogue described it when the study began. */
  @Column({ type: 'jsonb' }) model!: unknown;
  @Column({ type: 'int', name: 'revisions_expected' }) revisionsExpected!: number;
}

@Entity({ schema: 'studies', name: 'study_result' })
class StudyResultEntity {
  @PrimaryColumn({ type: 'text', name: 'study_id', primaryKeyConstraintName: 'study_result_pkey' })
  studyId!: string;
  @PrimaryColumn({ type: 'text', name: 'model_id', primaryKeyConstraintName: 'study_result_pkey' })
  modelId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'study_result_pkey' }) step!: number;
  @Column({ type: 'jsonb' }) findings!: unknown;
  @Column({ type: 'jsonb', nullable: true }) receipt!: unknown;
  @Column({ type: 'timestamptz', name: 'reported_at' }) reportedAt!: Date;
}

export const studiesSchema: ContextSchema = {
  context: 'studies',
  entities: [StudyEntity, StudyJobEntity, StudyResultEntity],
  migrations: [
    sqlMigration(
      'studies-0001-studies',
      1_795_000_070_001,
      `
      CREATE TABLE studies.study (
        id text CONSTRAINT study_pkey PRIMARY KEY,
        title text NOT NULL,
        description text NOT NULL,
        state text NOT NULL CONSTRAINT study_state_check CHECK (state IN ('running', 'complete', 'incomplete')),
        definition jsonb NOT NULL,
        is_private boolean NOT NULL,
        lab_id text,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz
      );
      CREATE TABLE studies.study_job (
        study_id text,
        model_id text,
        job_id text NOT NULL,
        state text NOT NULL
          CONSTRAINT study_job_state_check CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
        reason text,
        model jsonb NOT NULL,
        revisions_expected int NOT NULL,
        CONSTRAINT study_job_pkey PRIMARY KEY (study_id, model_id)
      );
      CREATE UNIQUE INDEX study_job_job ON studies.study_job (job_id);
      CREATE TABLE studies.study_result (
        study_id text,
        model_id text,
        step int,
        findings jsonb NOT NULL,
        receipt jsonb,
        reported_at timestamptz NOT NULL,
        CONSTRAINT study_result_pkey PRIMARY KEY (study_id, model_id, step)
      );
      `,
    ),
  ],
};
