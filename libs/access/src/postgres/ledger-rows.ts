import { Check, Column, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn, Unique } from 'typeorm';

@Entity({ schema: 'access', name: 'account' })
@Check('account_kind', `kind IN ('issuer', 'usage', 'fund', 'share')`)
@Check('account_available', `kind IN ('issuer', 'usage') OR posted + pending >= 0`)
@Check('account_within_limit', 'limit_amount IS NULL OR drawn_held + drawn_posted <= limit_amount')
@Check('account_drawn', 'drawn_held >= 0 AND drawn_posted >= 0')
export class AccountRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'account_pkey' }) unit!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'account_pkey' }) owner!: string;
  @Column({ type: 'text' }) kind!: string;
  @Column({ type: 'text', nullable: true }) parent!: string | null;
  @Column({ type: 'text', array: true }) path!: string[];
  @Column({ type: 'text', nullable: true }) fund!: string | null;
  @Column({ type: 'bigint', name: 'limit_amount', nullable: true }) limitAmount!: string | null;
  @Column({ type: 'timestamptz', name: 'opens_at', nullable: true }) opensAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'closes_at', nullable: true }) closesAt!: Date | null;
  @Column({ type: 'bigint', default: 0 }) posted!: string;
  @Column({ type: 'bigint', default: 0 }) pending!: string;
  @Column({ type: 'bigint', name: 'drawn_held', default: 0 }) drawnHeld!: string;
  @Column({ type: 'bigint', name: 'drawn_posted', default: 0 }) drawnPosted!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

@Entity({ schema: 'access', name: 'account_grant' })
@Check('account_grant_available', 'held >= 0 AND balance >= held')
@Index('account_grant_of_account', ['unit', 'account', 'expiresAt'], { where: '(balance > 0)' })
export class AccountGrantRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'account_grant_pkey' }) id!: string;
  @Column({ type: 'text' }) unit!: string;
  @Column({ type: 'text' }) account!: string;
  @Column({ type: 'bigint' }) balance!: string;
  @Column({ type: 'bigint', default: 0 }) held!: string;
  @Column({ type: 'timestamptz', name: 'starts_at', nullable: true }) startsAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'expires_at', nullable: true }) expiresAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

@Entity({ schema: 'access', name: 'journal' })
@Unique('journal_id', ['id'])
@Unique('journal_settled_once', ['holdId'])
@Check('journal_kind', `kind IN ('transfer', 'hold', 'post', 'void', 'expire', 'lapse')`)
@Check('journal_amount', 'amount >= 0')
@Index('journal_of_account', ['unit', 'account', 'seq'])
@Index('journal_of_reference', ['reference'])
@Index('journal_holds_by_time', ['unit', 'at'], { where: `(kind = 'hold'::text)` })
export class JournalRow {
  @PrimaryGeneratedColumn({ type: 'bigint', primaryKeyConstraintName: 'journal_pkey' }) seq!: string;
  @Column({ type: 'text' }) id!: string;
  @Column({ type: 'text' }) kind!: string;
  @Column({ type: 'text' }) unit!: string;
  @Column({ type: 'text' }) debit!: string;
  @Column({ type: 'text' }) credit!: string;
  @Column({ type: 'text' }) account!: string;
  @Column({ type: 'bigint' }) amount!: string;
  @Column({ type: 'text', name: 'hold_id', nullable: true }) holdId!: string | null;
  @Column({ type: 'text' }) reference!: string;
  @Column({ type: 'text' }) actor!: string;
  @Column({ type: 'jsonb' }) details!: unknown;
  @Column({ type: 'timestamptz', name: 'expires_at', nullable: true }) expiresAt!: Date | null;
  @Column({ type: 'timestamptz' }) at!: Date;
}

@Entity({ schema: 'access', name: 'journal_entry' })
@Check('journal_entry_layer', `layer IN ('posted', 'pending')`)
@Index('journal_entry_of_account', ['unit', 'account', 'seq'])
export class JournalEntryRow {
  @PrimaryColumn({ type: 'bigint', primaryKeyConstraintName: 'journal_entry_pkey' }) seq!: string;
  @PrimaryColumn({ type: 'int', primaryKeyConstraintName: 'journal_entry_pkey' }) line!: number;
  @Column({ type: 'text' }) unit!: string;
  @Column({ type: 'text' }) account!: string;
  @Column({ type: 'text' }) layer!: string;
  @Column({ type: 'bigint' }) amount!: string;
  @Column({ type: 'text', name: 'grant_id', nullable: true }) grantId!: string | null;
}

@Entity({ schema: 'access', name: 'hold' })
@Check('hold_state', `state IN ('pending', 'posted', 'voided', 'expired')`)
@Check('hold_posted', `(state = 'pending') = (posted IS NULL) AND posted BETWEEN 0 AND amount`)
@Index('hold_to_expire', ['expiresAt'], { where: `(state = 'pending'::text)` })
export class HoldRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'hold_pkey' }) id!: string;
  @Column({ type: 'text' }) unit!: string;
  @Column({ type: 'text' }) account!: string;
  @Column({ type: 'bigint' }) amount!: string;
  @Column({ type: 'bigint', nullable: true }) posted!: string | null;
  @Column({ type: 'text', default: 'pending' }) state!: string;
  @Column({ type: 'timestamptz', name: 'expires_at', nullable: true }) expiresAt!: Date | null;
}
