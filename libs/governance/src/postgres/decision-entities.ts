import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { ProposalRow, RoundRow } from './round-entities.js';

/** Rows from the vote on: roll, ballots, tally, and what was adopted. */
@Entity({ schema: 'governance', name: 'roll_entry' })
class RollEntryRow {
  @ForeignKey(() => RoundRow, { name: 'roll_entry_round_fkey' })
  @PrimaryColumn({ type: 'text', name: 'round_id', primaryKeyConstraintName: 'roll_entry_pkey' })
  roundId!: string;
  @PrimaryColumn({ type: 'text', name: 'voter_id', primaryKeyConstraintName: 'roll_entry_pkey' })
  voterId!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text' }) label!: string;
  @Column({ type: 'text' }) weight!: string;
  @Column({ type: 'bigint' }) contribution!: string;
  @Column({ type: 'boolean', name: 'in_arrears' }) inArrears!: boolean;
}

@Entity({ schema: 'governance', name: 'roll_caster' })
@Index('roll_caster_person', ['roundId', 'personId'])
@ForeignKey(() => RollEntryRow, ['roundId', 'voterId'], ['roundId', 'voterId'], {
  name: 'roll_caster_entry_fkey',
})
class RollCasterRow {
  @PrimaryColumn({ type: 'text', name: 'round_id', primaryKeyConstraintName: 'roll_caster_pkey' })
  roundId!: string;
  @PrimaryColumn({ type: 'text', name: 'voter_id', primaryKeyConstraintName: 'roll_caster_pkey' })
  voterId!: string;
  @PrimaryColumn({ type: 'text', name: 'person_id', primaryKeyConstraintName: 'roll_caster_pkey' })
  personId!: string;
  @Column({ type: 'text' }) capacity!: string;
}

@Entity({ schema: 'governance', name: 'named_deputy' })
class NamedDeputyRow {
  @ForeignKey(() => RoundRow, { name: 'named_deputy_round_fkey' })
  @PrimaryColumn({ type: 'text', name: 'round_id', primaryKeyConstraintName: 'named_deputy_pkey' })
  roundId!: string;
  @PrimaryColumn({ type: 'text', name: 'voter_id', primaryKeyConstraintName: 'named_deputy_pkey' })
  voterId!: string;
  @Column({ type: 'text', name: 'deputy_id' }) deputyId!: string;
  @Column({ type: 'text', name: 'named_by' }) namedBy!: string;
  @Column({ type: 'timestamptz', default: () => 'now()' }) at!: Date;
}

@Entity({ schema: 'governance', name: 'ballot' })
@Unique('ballot_one_per_voter', ['roundId', 'voterId'])
@Check('ballot_revision', 'revision >= 1')
@ForeignKey(() => RollEntryRow, ['roundId', 'voterId'], ['roundId', 'voterId'], { name: 'ballot_voter_fkey' })
class BallotRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'ballot_pkey' }) id!: string;
  @Column({ type: 'text', name: 'round_id' }) roundId!: string;
  @Column({ type: 'text', name: 'voter_id' }) voterId!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text', name: 'cast_by' }) castBy!: string;
  @Column({ type: 'jsonb' }) chain!: unknown;
  @Column({ type: 'text' }) assurance!: string;
  @Column({ type: 'jsonb' }) content!: unknown;
  @Column({ type: 'int' }) revision!: number;
  @Column({ type: 'timestamptz', name: 'cast_at', default: () => 'now()' }) castAt!: Date;
}

@Entity({ schema: 'governance', name: 'tally' })
class TallyRow {
  @ForeignKey(() => RoundRow, { name: 'tally_round_fkey' })
  @PrimaryColumn({ type: 'text', name: 'round_id', primaryKeyConstraintName: 'tally_pkey' })
  roundId!: string;
  @Column({ type: 'text' }) result!: string;
  @Column({ type: 'text', nullable: true }) certificate!: string | null;
  @Column({ type: 'text', name: 'certificate_sha256' }) certificateSha256!: string;
  @Column({ type: 'text' }) report!: string;
  @Column({ type: 'timestamptz', name: 'counted_at', default: () => 'now()' }) countedAt!: Date;
}

@Entity({ schema: 'governance', name: 'adopted_suite' })
@Unique('adopted_suite_proposal_key', ['proposalId'])
@Index('adopted_suite_round', ['roundId'])
@Check('adopted_suite_state', `state IN ('reserved', 'released')`)
class AdoptedSuiteRow {
  @PrimaryColumn({ type: 'text', name: 'suite_id', primaryKeyConstraintName: 'adopted_suite_pkey' })
  suiteId!: string;
  @ForeignKey(() => RoundRow, { name: 'adopted_suite_round_fkey' })
  @Column({ type: 'text', name: 'round_id' })
  roundId!: string;
  @ForeignKey(() => ProposalRow, { name: 'adopted_suite_proposal_fkey' })
  @Column({ type: 'text', name: 'proposal_id' })
  proposalId!: string;
  @Column({ type: 'text', name: 'lab_id' }) labId!: string;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'text', name: 'gpu_type' }) gpuType!: string;
  @Column({ type: 'bigint', name: 'gpu_seconds' }) gpuSeconds!: string;
  @Column({ type: 'jsonb' }) design!: unknown;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'timestamptz', name: 'adopted_at', default: () => 'now()' }) adoptedAt!: Date;
  @Column({ type: 'timestamptz', name: 'released_at', nullable: true }) releasedAt!: Date | null;
}

@Entity({ schema: 'governance', name: 'policy' })
@Unique('policy_proposal_key', ['proposalId'])
@Check('policy_state', `state IN ('in-force', 'replaced')`)
class PolicyRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'policy_pkey' }) id!: string;
  @ForeignKey(() => RoundRow, { name: 'policy_round_fkey' })
  @Column({ type: 'text', name: 'round_id' })
  roundId!: string;
  @ForeignKey(() => ProposalRow, { name: 'policy_proposal_fkey' })
  @Column({ type: 'text', name: 'proposal_id' })
  proposalId!: string;
  @Column({ type: 'text' }) title!: string;
  @Column({ type: 'jsonb' }) rule!: unknown;
  @Column({ type: 'text' }) state!: string;
  @Column({ type: 'timestamptz', name: 'adopted_at', default: () => 'now()' }) adoptedAt!: Date;
  @Column({ type: 'timestamptz', name: 'ended_at', nullable: true }) endedAt!: Date | null;
}

export const decisionRows = [
  RollEntryRow,
  RollCasterRow,
  NamedDeputyRow,
  BallotRow,
  TallyRow,
  AdoptedSuiteRow,
  PolicyRow,
];
