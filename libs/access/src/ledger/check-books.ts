import type { Unit } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { whole } from './read-accounts.js';

export interface BooksCheck {
  readonly ok: boolean;
  readonly checks: readonly { name: string; says: string; violations: number; example: string | null }[];
  readonly totals: readonly UnitTotals[];
}

/** issued = available + held + used, always. */
export interface UnitTotals {
  readonly unit: Unit;
  /** Came in, less what lapsed or was given back. */
  readonly issued: number;
  /** In accounts, neither held nor used. */
  readonly available: number;
  readonly held: number;
  readonly used: number;
  readonly entries: number;
}

/** Each check lists what violates it, computed from the journal alone or against it. */
const checks: readonly { readonly name: string; readonly says: string; readonly sql: string }[] = [
  {
    name: 'balanced',
    says: 'every entry of the journal sums to zero, settled and pending apart',
    sql: `SELECT seq::text FROM access.journal_entry GROUP BY seq, layer HAVING sum(amount) <> 0
      UNION ALL SELECT id FROM access.journal j WHERE NOT EXISTS (SELECT FROM access.journal_entry e WHERE e.seq = j.seq)
      UNION ALL SELECT seq::text FROM access.journal_entry e WHERE NOT EXISTS (SELECT FROM access.journal j WHERE e.seq = j.seq AND e.unit = j.unit)`,
  },
  {
    name: 'sum-zero',
    says: 'all accounts of a unit sum to zero',
    sql: 'SELECT unit FROM access.account GROUP BY unit HAVING sum(posted) <> 0 OR sum(pending) <> 0',
  },
  {
    name: 'accounts-project-journal',
    says: "each account's balance is what the journal says",
    sql: `SELECT coalesce(a.unit, e.unit) || ' ' || coalesce(a.owner, e.account) FROM access.account a
      FULL JOIN (SELECT unit, account, sum(amount) FILTER (WHERE layer = 'posted') AS posted,
        sum(amount) FILTER (WHERE layer = 'pending') AS pending FROM access.journal_entry GROUP BY unit, account) e
      ON e.unit = a.unit AND e.account = a.owner
      WHERE a.owner IS NULL OR a.posted <> coalesce(e.posted, 0) OR a.pending <> coalesce(e.pending, 0)`,
  },
  {
    name: 'grants-project-journal',
    says: "each grant's balance and holds are what the journal says, and the grants of a fund are its balance",
    sql: `SELECT coalesce(g.id, e.grant_id) FROM access.account_grant g
      FULL JOIN (SELECT grant_id, unit, account, coalesce(sum(amount) FILTER (WHERE layer = 'posted'), 0) AS balance,
        coalesce(-sum(amount) FILTER (WHERE layer = 'pending'), 0) AS held
        FROM access.journal_entry WHERE grant_id IS NOT NULL GROUP BY grant_id, unit, account) e
      ON e.grant_id = g.id AND e.unit = g.unit AND e.account = g.account
      WHERE g.id IS NULL OR e.grant_id IS NULL OR g.balance <> e.balance OR g.held <> e.held
      UNION ALL SELECT a.unit || ' ' || a.owner FROM access.account a
      LEFT JOIN access.account_grant g ON g.unit = a.unit AND g.account = a.owner
      WHERE a.kind = 'fund' GROUP BY a.unit, a.owner
      HAVING a.posted <> coalesce(sum(g.balance), 0) OR -a.pending <> coalesce(sum(g.held), 0)`,
  },
  {
    name: 'holds-project-journal',
    says: 'each hold is settled at most once, by at most what it held',
    sql: `SELECT coalesce(h.id, j.id) FROM access.hold h
      FULL JOIN (SELECT * FROM access.journal WHERE kind = 'hold') j ON j.id = h.id
      LEFT JOIN access.journal s ON s.hold_id = h.id
      WHERE h.id IS NULL OR j.id IS NULL OR h.amount <> j.amount OR s.amount > h.amount
        OR h.posted IS DISTINCT FROM s.amount
        OR h.state <> CASE s.kind WHEN 'post' THEN 'posted' WHEN 'void' THEN 'voided' WHEN 'expire' THEN 'expired' ELSE 'pending' END
      UNION ALL SELECT hold_id FROM access.journal WHERE hold_id IS NOT NULL GROUP BY hold_id HAVING count(*) > 1`,
  },
  {
    name: 'drawn-projects-holds',
    says: 'what an account has drawn is the holds at it and below it',
    sql: `SELECT p.unit || ' ' || p.owner FROM access.account p
      LEFT JOIN (SELECT a.unit, u.node, sum(h.amount) FILTER (WHERE h.state = 'pending') AS held, sum(h.posted) AS posted
        FROM access.hold h JOIN access.account a ON a.unit = h.unit AND a.owner = h.account, unnest(a.path) AS u (node)
        GROUP BY a.unit, u.node) d ON d.unit = p.unit AND d.node = p.owner
      WHERE p.kind IN ('fund', 'share') AND (p.drawn_held <> coalesce(d.held, 0) OR p.drawn_posted <> coalesce(d.posted, 0))`,
  },
  {
    name: 'available',
    says: 'no account is overdrawn, now or at any entry of the journal',
    sql: `SELECT e.unit || ' ' || e.account || ' at ' || e.seq FROM (
        SELECT unit, account, seq, sum(sum(amount)) OVER (PARTITION BY unit, account ORDER BY seq) AS free
        FROM access.journal_entry GROUP BY unit, account, seq) e
      JOIN access.account a ON a.unit = e.unit AND a.owner = e.account
      WHERE a.kind IN ('fund', 'share') AND e.free < 0`,
  },
  {
    name: 'within-ancestors',
    says: 'no account draws more than its limit, and children together no more than their parent',
    sql: `SELECT unit || ' ' || owner FROM access.account WHERE drawn_held + drawn_posted > limit_amount
      UNION ALL SELECT c.unit || ' ' || c.parent FROM access.account c
      JOIN access.account p ON p.unit = c.unit AND p.owner = c.parent
      GROUP BY c.unit, c.parent, p.drawn_held, p.drawn_posted
      HAVING sum(c.drawn_held) > p.drawn_held OR sum(c.drawn_posted) > p.drawn_posted`,
  },
];

interface Row {
  name: string;
  violations: string;
  example: string | null;
}

/** Checks the books as one statement, so that it sees one state of them while others go on writing. */
export async function checkBooks(tx: Tx): Promise<BooksCheck> {
  const statement = checks
    .map(
      ({ name, sql }) =>
        `SELECT '${name}' AS name, count(*) AS violations, min(found.what) AS example FROM (${sql}) AS found (what)`,
    )
    .join('\nUNION ALL\n');
  const rows = await tx.rows<Row>(statement);
  const found = checks.map(({ name, says }) => {
    const row = rows.find((one) => one.name === name);
    return { name, says, violations: whole(row?.violations ?? 1), example: row?.example ?? null };
  });
  return { ok: found.every((check) => check.violations === 0), checks: found, totals: await readTotals(tx) };
}

async function readTotals(tx: Tx): Promise<UnitTotals[]> {
  const rows = await tx.rows<{ unit: Unit; issued: string; used: string; held: string; entries: string }>(
    `SELECT unit, -sum(posted) FILTER (WHERE kind = 'issuer') AS issued, sum(posted) FILTER (WHERE kind = 'usage') AS used,
       sum(pending) FILTER (WHERE kind = 'usage') AS held,
       (SELECT count(*) FROM access.journal j WHERE j.unit = a.unit) AS entries
     FROM access.account a GROUP BY unit ORDER BY unit`,
  );
  return rows.map((row) => {
    const [issued, used, held] = [whole(row.issued), whole(row.used), whole(row.held)];
    return {
      unit: row.unit,
      issued,
      available: issued - used - held,
      held,
      used,
      entries: whole(row.entries),
    };
  });
}
