import { type ProblemCode, type UnitAmount } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result, type Unit, units } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { allocationAccount } from '../domain/ledger/account-owner.js';
import type { LedgerCommand } from '../domain/ledger/ledger-command.js';
import { Ledger } from '../ledger/ledger.js';
import type { Actor } from '../ports.js';
import {
  type Allocation,
  admitToAllocation,
  moveAllocation,
  noteAllocationEvent,
} from './allocation-store.js';
import { fundAllocation, sourceOf } from './fund-allocation.js';

type Refusal = Problem<ProblemCode>;

export interface Amendment {
  /** Made by the client: the same amendment sent again changes nothing. */
  readonly amendmentId: string;
  readonly supplement?: readonly UnitAmount[] | undefined;
  readonly endsAt?: string | undefined;
  readonly reason: string;
}

/** Ends, stops, resumes, supplements and extends allocations; the accounts follow in the same transaction. */
@Injectable()
export class ChangeAllocation {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Ledger) private readonly ledger: Ledger,
  ) {}

  /** Ends an allocation and gives back what is left; what requests still hold lapses when they settle. */
  async close(actor: Actor, allocationId: string, reason: string): Promise<Result<Allocation, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitToAllocation(tx, actor, allocationId, ['owner', 'secretariat']);
      if (!admitted.ok) return admitted;
      const step = { action: 'close', to: 'closed', actor: actor.personId, reason } as const;
      const moved = await moveAllocation(tx, admitted.value, step);
      if (!moved.ok) return moved;
      const closed = await this.onEachAccount(tx, allocationId, (unit) => [
        this.window(unit, allocationId, new Date(), actor.personId),
        this.giveBack(unit, allocationId, `close/${allocationId}`, actor.personId),
      ]);
      return closed.ok ? moved : closed;
    });
  }

  async suspend(actor: Actor, allocationId: string, reason: string): Promise<Result<Allocation, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitToAllocation(tx, actor, allocationId, ['secretariat']);
      if (!admitted.ok) return admitted;
      const step = { action: 'suspend', to: 'suspended', actor: actor.personId, reason } as const;
      const moved = await moveAllocation(tx, admitted.value, step);
      if (!moved.ok) return moved;
      const stopped = await this.onEachAccount(tx, allocationId, (unit) => [
        this.window(unit, allocationId, new Date(), actor.personId),
      ]);
      return stopped.ok ? moved : stopped;
    });
  }

  async resume(actor: Actor, allocationId: string, reason: string): Promise<Result<Allocation, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitToAllocation(tx, actor, allocationId, ['secretariat']);
      if (!admitted.ok) return admitted;
      const step = { action: 'resume', to: 'active', actor: actor.personId, reason } as const;
      const moved = await moveAllocation(tx, admitted.value, step);
      if (!moved.ok) return moved;
      const reopened = await this.onEachAccount(tx, allocationId, (unit) => [
        this.window(unit, allocationId, admitted.value.endsAt, actor.personId),
      ]);
      return reopened.ok ? moved : reopened;
    });
  }

  /** Grants more units, or more time. More time renews what is free: it lapses at the new end instead of the old. */
  async amend(
    actor: Actor,
    allocationId: string,
    amendment: Amendment,
  ): Promise<Result<Allocation, Refusal>> {
    return this.transactor.run<Allocation, Refusal>(async (tx) => {
      const admitted = await admitToAllocation(tx, actor, allocationId, ['secretariat', 'owner', 'member']);
      if (!admitted.ok) return admitted;
      const allocation = admitted.value;
      if (actor.personId === allocation.ownerId || allocation.memberIds.includes(actor.personId)) {
        return err(problem('access.conflict-of-interest', 'You may not amend your own allocation'));
      }
      if (allocation.state !== 'active') {
        return err(problem('access.allocation-inactive', `The allocation is ${allocation.state}`));
      }
      const endsAt = new Date(amendment.endsAt ?? allocation.endsAt);
      if (endsAt < allocation.endsAt) {
        return err(problem('request.invalid', 'An extension ends later than before; to end early, close it'));
      }
      const extended =
        endsAt > allocation.endsAt
          ? await this.extend(tx, allocation, endsAt, amendment, actor)
          : ok(undefined);
      if (!extended.ok) return extended;
      const grants = fundAllocation({
        ...allocation,
        granted: amendment.supplement ?? [],
        endsAt,
        grant: amendment.amendmentId,
        actor: actor.personId,
      });
      const outcomes = await this.ledger.apply(grants, tx);
      for (const outcome of outcomes) if (!outcome.ok) return outcome;
      const changed = endsAt > allocation.endsAt || outcomes.some((one) => one.ok && !one.value.replayed);
      if (changed) {
        await noteAllocationEvent(tx, allocationId, {
          action: amendment.supplement === undefined ? 'extend' : 'supplement',
          from: allocation.state,
          to: allocation.state,
          actor: actor.personId,
          reason: amendment.reason,
        });
      }
      return ok({ ...allocation, endsAt });
    });
  }

  private async extend(
    tx: Tx,
    allocation: Allocation,
    endsAt: Date,
    amendment: Amendment,
    actor: Actor,
  ): Promise<Result<void, Refusal>> {
    const { allocationId } = allocation;
    await tx.changed('UPDATE access.allocation SET ends_at = $2 WHERE id = $1', [allocationId, endsAt]);
    for (const unit of await this.unitsOf(tx, allocationId)) {
      const [returned, moved] = await this.ledger.apply(
        [
          this.giveBack(unit, allocationId, `renew/${allocationId}/${amendment.amendmentId}`, actor.personId),
          this.window(unit, allocationId, endsAt, actor.personId),
        ],
        tx,
      );
      if (returned?.ok === false) return returned;
      if (moved?.ok === false) return moved;
      const amount = returned?.value.amount ?? 0;
      if (amount === 0) continue;
      const renewed = await this.ledger.transfer(
        {
          id: `renewed/${allocationId}/${amendment.amendmentId}/${unit}`,
          unit,
          from: sourceOf(unit),
          to: allocationAccount(allocationId),
          amount,
          startsAt: allocation.startsAt,
          expiresAt: endsAt,
          reference: allocationId,
          actor: actor.personId,
        },
        tx,
      );
      if (!renewed.ok) return renewed;
    }
    return ok(undefined);
  }

  private window(unit: Unit, allocationId: string, closesAt: Date, actor: string): LedgerCommand {
    return { kind: 'adjust', unit, owner: allocationAccount(allocationId), closesAt, actor };
  }

  private giveBack(unit: Unit, allocationId: string, id: string, actor: string): LedgerCommand {
    return {
      kind: 'transfer',
      id: `${id}/${unit}`,
      unit,
      from: allocationAccount(allocationId),
      to: sourceOf(unit),
      reference: allocationId,
      actor,
    };
  }

  private async unitsOf(tx: Tx, allocationId: string): Promise<Unit[]> {
    const rows = await tx.rows<{ unit: Unit }>('SELECT unit FROM access.account WHERE owner = $1', [
      allocationAccount(allocationId),
    ]);
    return units.filter((unit) => rows.some((row) => row.unit === unit));
  }

  private async onEachAccount(
    tx: Tx,
    allocationId: string,
    commands: (unit: Unit) => LedgerCommand[],
  ): Promise<Result<void, Refusal>> {
    const open = await this.unitsOf(tx, allocationId);
    for (const outcome of await this.ledger.apply(open.flatMap(commands), tx))
      if (!outcome.ok) return outcome;
    return ok(undefined);
  }
}

/** Marks allocations whose period is over; their grants lapse and their accounts close by themselves. */
export async function expireAllocations(transactor: Transactor): Promise<number> {
  return transactor.do(async (tx) => {
    const due = await tx.rows<Allocation>(
      `SELECT id AS "allocationId", state FROM access.allocation
       WHERE state IN ('active', 'suspended') AND ends_at <= now() ORDER BY ends_at LIMIT 200 FOR UPDATE SKIP LOCKED`,
    );
    for (const allocation of due) {
      await moveAllocation(tx, allocation, { action: 'expire', to: 'expired', actor: 'facility:clock' });
    }
    return due.length;
  });
}
