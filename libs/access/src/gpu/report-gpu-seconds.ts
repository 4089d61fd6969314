import type { Tx } from '@beamtime/platform';
import { whole } from '../ledger/read-accounts.js';

/** GPU-seconds of one account that jobs draw on. Always held = used + returned + stillHeld. */
export interface GpuAccountReport {
  readonly account: string;
  /** The pool that paid for it; null for operations and labs. */
  readonly round: string | null;
  readonly received: number;
  readonly passedOn: number;
  /** Everything that jobs ever held here. */
  readonly held: number;
  readonly used: number;
  readonly returned: number;
  readonly stillHeld: number;
  readonly jobs: number;
  readonly balance: number;
}

export interface GpuRoundReport {
  readonly round: string;
  readonly funded: number;
  readonly reserved: number;
  readonly toOperations: number;
  readonly left: number;
}

export interface GpuSecondsReport {
  readonly rounds: readonly GpuRoundReport[];
  readonly accounts: readonly GpuAccountReport[];
  readonly total: { held: number; used: number; returned: number; stillHeld: number };
}

/** Where the GPU-seconds of the rounds went. */
export async function reportGpuSeconds(tx: Tx): Promise<GpuSecondsReport> {
  const accounts = await tx.rows<Record<'account' | 'round' | Amounts, string>>(
    `SELECT a.owner AS account, CASE WHEN a.parent LIKE 'round:%' THEN a.parent END AS round, a.posted AS balance,
       coalesce((SELECT sum(amount) FROM access.journal WHERE unit = a.unit AND kind = 'transfer' AND credit = a.owner), 0) AS received,
       coalesce((SELECT sum(amount) FROM access.journal WHERE unit = a.unit AND kind IN ('transfer', 'lapse') AND debit = a.owner), 0) AS "passedOn",
       coalesce(sum(h.amount), 0) AS held, coalesce(sum(h.posted), 0) AS used,
       coalesce(sum(h.amount - h.posted), 0) AS returned,
       coalesce(sum(h.amount) FILTER (WHERE h.state = 'pending'), 0) AS "stillHeld", count(h.id) AS jobs
     FROM access.account a LEFT JOIN access.hold h ON h.unit = a.unit AND h.account = a.owner
     WHERE a.unit = 'gpu_seconds' AND a.kind IN ('fund', 'share') AND a.owner NOT LIKE 'round:%'
     GROUP BY a.unit, a.owner, a.parent, a.posted
     HAVING count(h.id) > 0 OR a.owner = 'operations' OR a.owner LIKE 'suite:%'
     ORDER BY a.owner`,
  );
  const rounds = await tx.rows<Record<'round' | 'funded' | 'reserved' | 'toOperations' | 'left', string>>(
    `SELECT a.owner AS round, a.posted AS left,
       coalesce(sum(j.amount) FILTER (WHERE j.credit = a.owner), 0) AS funded,
       coalesce(sum(j.amount) FILTER (WHERE j.debit = a.owner AND j.credit LIKE 'suite:%'), 0) AS reserved,
       coalesce(sum(j.amount) FILTER (WHERE j.debit = a.owner AND j.credit = 'operations'), 0) AS "toOperations"
     FROM access.account a
     LEFT JOIN access.journal j ON j.unit = a.unit AND j.kind = 'transfer' AND a.owner IN (j.debit, j.credit)
     WHERE a.unit = 'gpu_seconds' AND a.owner LIKE 'round:%' GROUP BY a.owner, a.posted ORDER BY a.owner`,
  );
  const reports = accounts.map((row) => ({
    ...numbers(row, amounts),
    account: row.account,
    round: row.round,
  }));
  const sum = (name: 'held' | 'used' | 'returned' | 'stillHeld') =>
    reports.reduce((total, report) => total + report[name], 0);
  return {
    rounds: rounds.map((row) => ({
      round: row.round,
      ...numbers(row, ['funded', 'reserved', 'toOperations', 'left'] as const),
    })),
    accounts: reports,
    total: { held: sum('held'), used: sum('used'), returned: sum('returned'), stillHeld: sum('stillHeld') },
  };
}

const amounts = ['received', 'passedOn', 'held', 'used', 'returned', 'stillHeld', 'jobs', 'balance'] as const;
type Amounts = (typeof amounts)[number];

function numbers<Name extends string>(
  row: Record<Name, string>,
  names: readonly Name[],
): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, whole(row[name])])) as Record<Name, number>;
}
