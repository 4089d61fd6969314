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

/** Rows up to the vote, mirrored for TypeORM's schema diff; all work goes through SQL. */
@Entity({ schema: 'governance', name: 'round' })
@Check(
  'round_state',
  `state IN ('planned', 'proposing', 'deliberating', 'voting', 'counting', 'decided', 'cancelled')`,
)
@Check(
  'round_frozen_before_vote',
  `state NOT IN ('voting', 'counting', 'decided') OR
    (frozen IS NOT NULL AND frozen_sha256 IS NOT NULL AND seed IS NOT NULL AND seed_commitment IS NOT NULL)`,
)
@Index('round_unfinished', ['state'], { where: `state NOT IN ('decided', 'cancelled')` })
export class RoundRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'round_pkey' }) id!: string;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'text' }) description!: string;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'jsonb' }) charter!: unknown;
  @Column({ type: 'text', name: 'created_by' }) createdBy!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'open_proposals_at', nullable: true }) openProposalsAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'deliberate_at', nullable: true }) deliberateAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'open_vote_at', nullable: true }) openVoteAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'close_at', nullable: true }) closeAt!: Date | null;
  @Column({ type: 'text', nullable: true }) frozen!: string | null;
  @Column({ type: 'text', name: 'frozen_sha256', nullable: true }) frozenSha256!: string | null;
  @Column({ type: 'timestamptz', name: 'frozen_at', nullable: true }) frozenAt!: Date | null;
  @Column({ type: 'text', nullable: true }) seed!: string | null;
  @Column({ type: 'text', name: 'seed_commitment', nullable: true }) seedCommitment!: string | null;
  @Column({ type: 'int', nullable: true }) voters!: number | null;
  @Column({ type: 'timestamptz', name: 'decided_at', nullable: true }) decidedAt!: Date | null;
}

@Entity({ schema: 'governance', name: 'round_event' })
@Index('round_event_round', ['roundId', 'id'])
class RoundEventRow {
  @PrimaryGeneratedColumn({ type: 'bigint', primaryKeyConstraintName: 'round_event_pkey' }) id!: string;
  @ForeignKey(() => RoundRow, { name: 'round_event_round_fkey' })
  @Column({ type: 'text', name: 'round_id' })
  roundId!: string;
  @Column({ type: 'text', name: 'from_state', nullable: true }) fromState!: string | null;
  @Column({ type: 'text', name: 'to_state' }) toState!: string;
  @Column({ type: 'text' }) actor!: string;
  @Column({ type: 'text' }) reason!: string;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

@Entity({ schema: 'governance', name: 'pledge' })
@Unique('pledge_once', ['roundId', 'labId', 'gpuType'])
@Check('pledge_not_negative', 'gpu_seconds >= 0')
class PledgeRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'pledge_pkey' }) id!: string;
  @ForeignKey(() => RoundRow, { name: 'pledge_round_fkey' })
  @Column({ type: 'text', name: 'round_id' })
  roundId!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text', name: 'gpu_type' }) gpuType!: string;
  @Column({ type: 'bigint', name: 'gpu_seconds' }) gpuSeconds!: string;
  @Column({ type: 'text', name: 'pledged_by' }) pledgedBy!: string;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

@Entity({ schema: 'governance', name: 'proposal' })
@Unique('proposal_suite_key', ['suiteId'])
@Unique('proposal_policy_key', ['policyId'])
@Index('proposal_round', ['roundId', 'id'])
@Check('proposal_kind', `kind IN ('suite', 'policy', 'motion')`)
@Check('proposal_state', `state IN ('open', 'withdrawn', 'adopted', 'rejected')`)
@Check(
  'proposal_fits_kind',
  `(kind = 'suite') = (suite_id IS NOT NULL AND gpu_seconds IS NOT NULL) AND (kind = 'policy') = (policy_id IS NOT NULL)`,
)
export class ProposalRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'proposal_pkey' }) id!: string;
  @ForeignKey(() => RoundRow, { name: 'proposal_round_fkey' })
  @Column({ type: 'text', name: 'round_id' })
  roundId!: string;
  @Column({ type: 'text' }) kind!: string;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text', name: 'proposed_by' }) proposedBy!: string;
  @Column({ type: 'int' }) version!: number;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'jsonb' }) body!: unknown;
  @Column({ type: 'text', name: 'suite_id', nullable: true }) suiteId!: string | null;
  @Column({ type: 'text', name: 'policy_id', nullable: true }) policyId!: string | null;
  @Column({ type: 'text', name: 'gpu_type', nullable: true }) gpuType!: string | null;
  @Column({ type: 'bigint', name: 'gpu_seconds', nullable: true }) gpuSeconds!: string | null;
  @Column({ type: 'text', name: 'exclusive_group', nullable: true }) exclusiveGroup!: string | null;
  @Column({ type: 'boolean', default: false }) flagship!: boolean;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'amended_at', nullable: true }) amendedAt!: Date | null;
}

@Entity({ schema: 'governance', name: 'proposal_version' })
class ProposalVersionRow {
  @ForeignKey(() => ProposalRow, { name: 'proposal_version_proposal_fkey' })
  @PrimaryColumn({ type: 'text', name: 'proposal_id', primaryKeyConstraintName: 'proposal_version_pkey' })
  proposalId!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'proposal_version_pkey' }) version!: number;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'jsonb' }) body!: unknown;
  @Column({ type: 'bigint', name: 'gpu_seconds', nullable: true }) gpuSeconds!: string | null;
  @Column({ type: 'text' }) note!: string;
  @Column({ type: 'text', name: 'by_person' }) byPerson!: string;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

@Entity({ schema: 'governance', name: 'proposal_comment' })
@Index('proposal_comment_proposal', ['proposalId', 'id'])
class ProposalCommentRow {
  @PrimaryGeneratedColumn({ type: 'bigint', primaryKeyConstraintName: 'proposal_comment_pkey' }) id!: string;
  @ForeignKey(() => ProposalRow, { name: 'proposal_comment_proposal_fkey' })
  @Column({ type: 'text', name: 'proposal_id' })
  proposalId!: string;
  @Column({ type: 'int' }) version!: number;
  @Column({ type: 'text', name: 'by_person' }) byPerson!: string;
  @Column({ type: 'text', name: 'lab_id', nullable: true }) labId!: string | null;
  @Column({ type: 'text' }) text!: string;
  @ForeignKey(() => ProposalCommentRow, { name: 'proposal_comment_reply_fkey' })
  @Column({ type: 'bigint', name: 'in_reply_to', nullable: true })
  inReplyTo!: string | null;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

export const roundRows = [
  RoundRow,
  RoundEventRow,
  PledgeRow,
  ProposalRow,
  ProposalVersionRow,
  ProposalCommentRow,
];
