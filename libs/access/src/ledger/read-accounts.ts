import { invariant, type Unit } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { AccountOwner } from '../domain/ledger/account-owner.js';

/** An account as it stands. Settled balance and holds are apart: a hold is not spent, and not free either. */
export interface AccountBalance {
  readonly unit: Unit;
  readonly owner: AccountOwner;
  readonly kind: 'issuer' | 'usage' | 'fund' | 'share';
  readonly parent: AccountOwner | null;
  /** Received less used and passed on; null for a share, which has no units of its own. */
  readonly balance: number | null;
  /** Held at this account and below. */
  readonly held: number;
  /** Posted at this account and below. */
  readonly used: number;
  /** What could be held here now; null for issuer and usage. */
  readonly available: number | null;
  readonly limit: number | null;
  readonly opensAt: Date | null;
  readonly closesAt: Date | null;
  readonly grants: readonly GrantBalance[];
}

export interface GrantBalance {
  readonly grantId: string;
  readonly balance: number;
  readonly held: number;
  readonly startsAt: string | null;
  readonly expiresAt: string | null;
}

interface Row {
  unit: Unit;
  owner: AccountOwner;
  kind: AccountBalance['kind'];
  parent: AccountOwner | null;
  posted: string;
  drawn_held: string;
  drawn_posted: string;
  free: string | null;
  limit_amount: string | null;
  opens_at: Date | null;
  closes_at: Date | null;
  grants: GrantBalance[] | null;
}

const selection = `
  SELECT a.unit, a.owner, a.kind, a.parent, a.posted, a.drawn_held, a.drawn_posted, a.limit_amount, a.opens_at,
    a.closes_at, CASE WHEN a.fund IS NOT NULL THEN access.ledger_free(a.unit, a.owner, now()) END AS free,
    (SELECT jsonb_agg(jsonb_build_object('grantId', g.id, 'balance', g.balance, 'held', g.held,
        'startsAt', to_char(g.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'expiresAt', to_char(g.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        ORDER BY g.expires_at NULLS LAST, g.created_at, g.id)
      FROM access.account_grant g WHERE g.unit = a.unit AND g.account = a.owner AND g.balance > 0) AS grants
  FROM access.account a`;

export async function readBalance(
  tx: Tx,
  unit: Unit,
  owner: AccountOwner,
): Promise<AccountBalance | undefined> {
  const row = await tx.row<Row>(`${selection} WHERE a.unit = $1 AND a.owner = $2`, [unit, owner]);
  return row === undefined ? undefined : balanceOf(row);
}

export async function readAccounts(tx: Tx, below: AccountOwner): Promise<AccountBalance[]> {
  const rows = await tx.rows<Row>(
    `${selection} WHERE a.path @> ARRAY[$1::text] ORDER BY a.unit, cardinality(a.path), a.owner`,
    [below],
  );
  return rows.map(balanceOf);
}

function balanceOf(row: Row): AccountBalance {
  return {
    unit: row.unit,
    owner: row.owner,
    kind: row.kind,
    parent: row.parent,
    balance: row.kind === 'share' ? null : whole(row.posted),
    held: whole(row.drawn_held),
    used: whole(row.drawn_posted),
    available: row.free === null ? null : whole(row.free),
    limit: row.limit_amount === null ? null : whole(row.limit_amount),
    opensAt: row.opens_at,
    closesAt: row.closes_at,
    grants: row.grants ?? [],
  };
}

/** A bigint of the database, which the books keep below 2^53. */
export function whole(text: string | number): number {
  const value = Number(text);
  invariant(Number.isSafeInteger(value), 'an amount of the ledger is below 2^53');
  return value;
}
