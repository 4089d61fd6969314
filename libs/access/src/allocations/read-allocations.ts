import type { ProblemCode, Scope } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result, type Unit } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { eventsOf, type LifecycleEvent } from '../applications/read-applications.js';
import type { AllocationState } from '../domain/application/application-state.js';
import { allocationAccount } from '../domain/ledger/account-owner.js';
import type { HoldState } from '../domain/ledger/hold-state.js';
import { whole } from '../ledger/read-accounts.js';
import type { Actor } from '../ports.js';
import { type Allocation, admitToAllocation, allocationSelect, type Standing } from './allocation-store.js';

type Refusal = Problem<ProblemCode>;

export interface UnitBalance {
  readonly unit: Unit;
  readonly granted: number;
  readonly available: number;
  readonly held: number;
  readonly used: number;
}

export interface AllocationBalances extends Allocation {
  readonly balances: readonly UnitBalance[];
}

/** One request: what it held, what it used, and how its answer was computed. */
export interface UsageRecord {
  readonly seq: number;
  readonly requestId: string;
  readonly personId: string | null;
  readonly keyId: string | null;
  readonly modelId: string | null;
  readonly revision: string | null;
  readonly scope: Scope | null;
  readonly unit: Unit;
  readonly held: number;
  readonly used: number | null;
  readonly state: HoldState;
  readonly receipt: unknown;
  readonly at: Date;
  readonly settledAt: Date | null;
}

export interface UsageTotals {
  readonly unit: Unit;
  readonly requests: number;
  readonly held: number;
  readonly used: number;
  readonly returned: number;
}

const watchers: readonly Standing[] = ['owner', 'member', 'lab', 'secretariat', 'auditor'];

/** Whoever may see one allocation: somebody who stands to it, or a key of it. */
export type Viewer = Actor | { readonly allocationId: string };

@Injectable()
export class ReadAllocations {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async show(
    viewer: Viewer,
    allocationId: string,
  ): Promise<Result<{ allocation: AllocationBalances; events: LifecycleEvent[] }, Refusal>> {
    const tx = this.transactor.read;
    const admitted = await this.admit(tx, viewer, allocationId);
    if (!admitted.ok) return admitted;
    const [allocation] = await withBalances(tx, [admitted.value]);
    if (allocation === undefined) return err(problem('resource.not-found', `No allocation ${allocationId}`));
    return ok({ allocation, events: await eventsOf(tx, 'allocation', allocationId) });
  }

  /** A page of what the actor may see. */
  async list(
    actor: Actor,
    query: { state?: AllocationState | undefined; limit: number; after?: string | undefined },
  ): Promise<{ items: AllocationBalances[]; next: string | null }> {
    const all = actor.memberships.some(({ role }) => role === 'secretariat' || role === 'auditor');
    const labs = actor.memberships.flatMap(({ labId, role }) =>
      labId !== null && (role === 'delegate' || role === 'deputy') ? [labId] : [],
    );
    const tx = this.transactor.read;
    const found = await tx.rows<Allocation>(
      `${allocationSelect} WHERE id > $1 AND ($2::text IS NULL OR state = $2)
         AND ($3 OR owner_id = $4 OR $4 = ANY (member_ids) OR lab_id = ANY ($5)) ORDER BY id LIMIT $6`,
      [query.after ?? '', query.state ?? null, all, actor.personId, labs, query.limit],
    );
    const last = found.length < query.limit ? undefined : found.at(-1);
    return { items: await withBalances(tx, found), next: last?.allocationId ?? null };
  }

  /** Requests of an allocation, newest first, and their sums over all time. */
  async usage(
    viewer: Viewer,
    allocationId: string,
    query: { limit: number; beforeSeq?: number | undefined; requestId?: string | undefined },
  ): Promise<Result<{ items: UsageRecord[]; totals: UsageTotals[] }, Refusal>> {
    const tx = this.transactor.read;
    const admitted = await this.admit(tx, viewer, allocationId);
    if (!admitted.ok) return admitted;
    const rows = await tx.rows<UsageRecord & Record<'seq' | 'held' | 'used', string | null>>(
      `SELECT j.seq, j.reference AS "requestId", j.details->>'personId' AS "personId", j.details->>'keyId' AS "keyId",
         j.details->>'modelId' AS "modelId", coalesce(s.details->>'revision', j.details->>'revision') AS revision,
         j.details->>'scope' AS scope, j.unit, j.amount AS held, h.posted AS used, h.state,
         s.details->'receipt' AS receipt, j.at, s.at AS "settledAt"
       FROM access.journal j JOIN access.hold h ON h.id = j.id LEFT JOIN access.journal s ON s.hold_id = j.id
       WHERE j.kind = 'hold' AND (j.unit, j.account) IN (${accountsOf}) AND j.seq < $2
         AND ($3::text IS NULL OR j.reference = $3)
       ORDER BY j.seq DESC LIMIT $4`,
      [
        allocationAccount(allocationId),
        query.beforeSeq ?? Number.MAX_SAFE_INTEGER,
        query.requestId ?? null,
        query.limit,
      ],
    );
    const items = rows.map((row) => ({
      ...row,
      seq: whole(row.seq ?? 0),
      held: whole(row.held ?? 0),
      used: row.used === null ? null : whole(row.used),
    }));
    return ok({ items, totals: await this.totals(tx, allocationId) });
  }

  private async totals(tx: Tx, allocationId: string): Promise<UsageTotals[]> {
    const rows = await tx.rows<{ unit: Unit } & Record<'requests' | 'held' | 'used' | 'returned', string>>(
      `SELECT h.unit, count(*) AS requests, sum(h.amount) AS held, coalesce(sum(h.posted), 0) AS used,
         coalesce(sum(h.amount - h.posted), 0) AS returned
       FROM access.hold h WHERE (h.unit, h.account) IN (${accountsOf}) GROUP BY h.unit ORDER BY h.unit`,
      [allocationAccount(allocationId)],
    );
    return rows.map((row) => ({
      unit: row.unit,
      requests: whole(row.requests),
      held: whole(row.held),
      used: whole(row.used),
      returned: whole(row.returned),
    }));
  }

  private async admit(tx: Tx, viewer: Viewer, allocationId: string): Promise<Result<Allocation, Refusal>> {
    if ('memberships' in viewer) return admitToAllocation(tx, viewer, allocationId, watchers, '');
    if (viewer.allocationId !== allocationId) {
      return err(problem('auth.forbidden', 'The key belongs to another allocation'));
    }
    const allocation = await tx.row<Allocation>(`${allocationSelect} WHERE id = $1`, [allocationId]);
    return allocation === undefined
      ? err(problem('resource.not-found', `There is no allocation ${allocationId}`))
      : ok(allocation);
  }
}

/** The account of an allocation and the shares below it. */
const accountsOf = 'SELECT a.unit, a.owner FROM access.account a WHERE a.path @> ARRAY[$1::text]';

export async function withBalances(
  tx: Tx,
  allocations: readonly Allocation[],
): Promise<AllocationBalances[]> {
  const rows = await tx.rows<
    { owner: string; unit: Unit } & Record<'granted' | 'free' | 'held' | 'used', string>
  >(
    `SELECT a.owner, a.unit, a.drawn_held AS held, a.drawn_posted AS used,
       CASE WHEN a.opens_at > now() OR a.closes_at <= now() THEN 0 ELSE access.ledger_free(a.unit, a.owner, now()) END AS free,
       (SELECT coalesce(sum(j.amount), 0) FROM access.journal j
         WHERE j.unit = a.unit AND j.account = a.owner AND j.kind = 'transfer' AND j.credit = a.owner
           AND j.id NOT LIKE 'renewed/%') AS granted
     FROM access.account a WHERE a.owner = ANY ($1) ORDER BY a.unit`,
    [allocations.map((one) => allocationAccount(one.allocationId))],
  );
  return allocations.map((allocation) => ({
    ...allocation,
    balances: rows
      .filter((row) => row.owner === allocationAccount(allocation.allocationId))
      .map((row) => ({
        unit: row.unit,
        granted: whole(row.granted),
        available: whole(row.free),
        held: whole(row.held),
        used: whole(row.used),
      })),
  }));
}
