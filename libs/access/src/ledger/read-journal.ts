import type { Unit } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { AccountOwner } from '../domain/ledger/account-owner.js';
import { whole } from './read-accounts.js';

export interface JournalLine {
  readonly seq: number;
  readonly id: string;
  readonly kind: 'transfer' | 'hold' | 'post' | 'void' | 'expire' | 'lapse';
  readonly unit: Unit;
  readonly debit: AccountOwner;
  readonly credit: AccountOwner;
  /** The account that it was asked for: of a hold perhaps a share below the fund that pays. */
  readonly account: AccountOwner;
  readonly amount: number;
  readonly holdId: string | null;
  readonly reference: string;
  readonly actor: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly expiresAt: Date | null;
  readonly at: Date;
}

export interface JournalQuery {
  readonly unit?: Unit | undefined;
  /** Entries that debit or credit this account, or were asked for it. */
  readonly account?: string | undefined;
  readonly reference?: string | undefined;
  readonly afterSeq?: number | undefined;
  readonly limit: number;
}

export async function readJournal(tx: Tx, query: JournalQuery): Promise<JournalLine[]> {
  const rows = await tx.rows<JournalLine & { seq: string; amount: string }>(
    `SELECT seq, id, kind, unit, debit, credit, account, amount, hold_id AS "holdId", reference, actor, details,
       expires_at AS "expiresAt", at
     FROM access.journal
     WHERE seq > $1 AND ($2::text IS NULL OR unit = $2) AND ($3::text IS NULL OR $3 IN (debit, credit, account))
       AND ($4::text IS NULL OR reference = $4)
     ORDER BY seq LIMIT $5`,
    [query.afterSeq ?? 0, query.unit ?? null, query.account ?? null, query.reference ?? null, query.limit],
  );
  return rows.map((row) => ({ ...row, seq: whole(row.seq), amount: whole(row.amount) }));
}
