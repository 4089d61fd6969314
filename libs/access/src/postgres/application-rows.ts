import {
  Check,
  Column,
  Entity,
  ForeignKey,
  Index,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  Unique,
} from 'typeorm';

@Entity({ schema: 'access', name: 'application' })
@Check(
  'application_state',
  `state IN ('draft', 'submitted', 'in-review', 'recommended', 'awarded', 'rejected', 'accepted', 'withdrawn')`,
)
@Check('application_tier', `tier IN ('small', 'large')`)
@Check('application_period', 'ends_at > starts_at')
@Check('application_decided', `state NOT IN ('awarded', 'rejected', 'accepted') OR decision IS NOT NULL`)
@Index('application_of_applicant', ['applicantId', 'id'])
@Index('application_by_state', ['state', 'id'])
export class ApplicationRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'application_pkey' }) id!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text', name: 'applicant_id' }) applicantId!: string;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'text' }) purpose!: string;
  @Column({ type: 'jsonb', name: 'co_applicants', default: () => "'[]'" }) coApplicants!: unknown;
  @Column({ type: 'text', array: true }) models!: string[];
  @Column({ type: 'text', array: true }) scopes!: string[];
  @Column({ type: 'jsonb' }) requested!: unknown;
  @Column({ type: 'timestamptz', name: 'starts_at' }) startsAt!: Date;
  @Column({ type: 'timestamptz', name: 'ends_at' }) endsAt!: Date;
  @Column({ type: 'text' }) tier!: string;
  @Column({ type: 'text', default: 'draft' }) state!: string;
  @Column({ type: 'jsonb', nullable: true }) decision!: unknown;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'updated_at', default: () => 'now()' }) updatedAt!: Date;
}

@Entity({ schema: 'access', name: 'application_event' })
@Index('application_event_of_application', ['applicationId', 'id'])
export class ApplicationEventRow {
  @PrimaryGeneratedColumn({ type: 'bigint', primaryKeyConstraintName: 'application_event_pkey' }) id!: string;
  @ForeignKey(() => ApplicationRow, { name: 'application_event_application' })
  @Column({ type: 'text', name: 'application_id' })
  applicationId!: string;
  @Column({ type: 'text' }) action!: string;
  @Column({ type: 'text', name: 'from_state', nullable: true }) fromState!: string | null;
  @Column({ type: 'text', name: 'to_state' }) toState!: string;
  @Column({ type: 'text' }) actor!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

@Entity({ schema: 'access', name: 'review' })
@Check('review_outcome', `outcome IN ('award', 'reject')`)
@Check('review_score', 'score BETWEEN 1 AND 5')
@Check('review_whole', 'num_nulls(outcome, score, body, recommended_at) IN (0, 4)')
@Index('review_of_reviewer', ['reviewerId'])
export class ReviewRow {
  @ForeignKey(() => ApplicationRow, { name: 'review_application' })
  @PrimaryColumn({ type: 'text', name: 'application_id', primaryKeyConstraintName: 'review_pkey' })
  applicationId!: string;
  @PrimaryColumn({ type: 'text', name: 'reviewer_id', primaryKeyConstraintName: 'review_pkey' })
  reviewerId!: string;
  @Column({ type: 'text', name: 'review_id' }) reviewId!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text', name: 'assigned_by' }) assignedBy!: string;
  @Column({ type: 'timestamptz', name: 'assigned_at', default: () => 'now()' }) assignedAt!: Date;
  @Column({ type: 'text', nullable: true }) outcome!: string | null;
  @Column({ type: 'int', nullable: true }) score!: number | null;
  @Column({ type: 'text', nullable: true }) body!: string | null;
  @Column({ type: 'timestamptz', name: 'recommended_at', nullable: true }) recommendedAt!: Date | null;
}

@Entity({ schema: 'access', name: 'conflict_of_interest' })
export class ConflictRow {
  @ForeignKey(() => ApplicationRow, { name: 'conflict_of_interest_application' })
  @PrimaryColumn({
    type: 'text',
    name: 'application_id',
    primaryKeyConstraintName: 'conflict_of_interest_pkey',
  })
  applicationId!: string;
  @PrimaryColumn({ type: 'text', name: 'person_id', primaryKeyConstraintName: 'conflict_of_interest_pkey' })
  personId!: string;
  @Column({ type: 'text' }) reason!: string;
  @Column({ type: 'timestamptz', name: 'declared_at', default: () => 'now()' }) declaredAt!: Date;
}

@Entity({ schema: 'access', name: 'allocation' })
@Unique('allocation_of_application', ['applicationId'])
@Check('allocation_state', `state IN ('active', 'suspended', 'expired', 'closed')`)
@Index('allocation_of_owner', ['ownerId', 'id'])
@Index('allocation_to_expire', ['endsAt'], {
  where: `(state = ANY (ARRAY['active'::text, 'suspended'::text]))`,
})
export class AllocationRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'allocation_pkey' }) id!: string;
  @ForeignKey(() => ApplicationRow, { name: 'allocation_application' })
  @Column({ type: 'text', name: 'application_id' })
  applicationId!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text', name: 'owner_id' }) ownerId!: string;
  @Column({ type: 'text', name: 'member_ids', array: true }) memberIds!: string[];
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'text', array: true }) models!: string[];
  @Column({ type: 'text', array: true }) scopes!: string[];
  @Column({ type: 'timestamptz', name: 'starts_at' }) startsAt!: Date;
  @Column({ type: 'timestamptz', name: 'ends_at' }) endsAt!: Date;
  @Column({ type: 'text', default: 'active' }) state!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

@Entity({ schema: 'access', name: 'allocation_event' })
@Index('allocation_event_of_allocation', ['allocationId', 'id'])
export class AllocationEventRow {
  @PrimaryGeneratedColumn({ type: 'bigint', primaryKeyConstraintName: 'allocation_event_pkey' }) id!: string;
  @ForeignKey(() => AllocationRow, { name: 'allocation_event_allocation' })
  @Column({ type: 'text', name: 'allocation_id' })
  allocationId!: string;
  @Column({ type: 'text' }) action!: string;
  @Column({ type: 'text', name: 'from_state', nullable: true }) fromState!: string | null;
  @Column({ type: 'text', name: 'to_state' }) toState!: string;
  @Column({ type: 'text' }) actor!: string;
  @Column({ type: 'text', nullable: true }) reason!: string | null;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

@Entity({ schema: 'access', name: 'policy' })
export class PolicyRow {
  @PrimaryColumn({ type: 'text', name: 'policy_id', primaryKeyConstraintName: 'policy_pkey' })
  policyId!: string;
  @Column({ type: 'text', name: 'round_id' }) roundId!: string;
  @Column({ type: 'jsonb' }) rule!: unknown;
  @Column({ type: 'timestamptz', name: 'adopted_at' }) adoptedAt!: Date;
  @Column({ type: 'timestamptz', name: 'ended_at', nullable: true }) endedAt!: Date | null;
}
