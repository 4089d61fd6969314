import type { UnitAmount } from '@beamtime/contracts';
import type { Unit } from '@beamtime/kernel';
import { type AccountOwner, allocationAccount, labAccount } from '../domain/ledger/account-owner.js';
import type { LedgerCommand } from '../domain/ledger/ledger-command.js';

/** GPU-seconds are lent, never made: what an allocation gets of them comes out of operations. */
export const sourceOf = (unit: Unit): AccountOwner => (unit === 'gpu_seconds' ? 'operations' : 'issuer');

/** The commands that open the accounts of an allocation, below its lab's, and grant its units for its period. */
export function fundAllocation(allocation: {
  readonly allocationId: string;
  readonly labId: string;
  readonly granted: readonly UnitAmount[];
  readonly startsAt: Date;
  readonly endsAt: Date;
  /** Tells one grant from another to the same allocation. */
  readonly grant: string;
  readonly actor: string;
}): LedgerCommand[] {
  const { allocationId, startsAt, endsAt, actor } = allocation;
  const owner = allocationAccount(allocationId);
  const lab = labAccount(allocation.labId);
  return allocation.granted.flatMap(({ unit, amount }): LedgerCommand[] => {
    const source = sourceOf(unit);
    const operations: LedgerCommand[] =
      source === 'operations'
        ? [{ kind: 'open', unit, owner: source, accountKind: 'fund', parent: 'consortium', actor }]
        : [];
    return [
      ...operations,
      { kind: 'open', unit, owner: lab, accountKind: 'fund', parent: 'consortium', actor },
      {
        kind: 'open',
        unit,
        owner,
        accountKind: 'fund',
        parent: lab,
        opensAt: startsAt,
        closesAt: endsAt,
        actor,
      },
      {
        kind: 'transfer',
        id: `grant/${allocationId}/${allocation.grant}/${unit}`,
        unit,
        from: source,
        to: owner,
        amount,
        startsAt,
        expiresAt: endsAt,
        reference: allocationId,
        actor,
      },
    ];
  });
}
