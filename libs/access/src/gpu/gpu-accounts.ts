import type { GpuAccountRef } from '@beamtime/contracts';
import { assertNever, InvariantViolation } from '@beamtime/kernel';
import {
  type AccountOwner,
  allocationAccount,
  labAccount,
  suiteAccount,
} from '../domain/ledger/account-owner.js';
import type { OpenAccount } from '../domain/ledger/ledger-command.js';
import type { LedgerOutcome } from '../ledger/apply-commands.js';

export const gpuSeconds = 'gpu_seconds';

/** Actor of what follows from a fact rather than from a person's request. */
export const booksActor = 'facility:access';

export function gpuAccountOwner(ref: GpuAccountRef): AccountOwner {
  switch (ref.kind) {
    case 'suite':
      return suiteAccount(ref.suiteId);
    case 'lab':
      return labAccount(ref.labId);
    case 'allocation':
      return allocationAccount(ref.allocationId);
    case 'operations':
      return 'operations';
    default:
      return assertNever(ref);
  }
}

/** The command that opens a GPU-seconds account unless it is open. */
export function openGpuAccount(owner: AccountOwner, parent: AccountOwner, actor = booksActor): OpenAccount {
  return { kind: 'open', unit: gpuSeconds, owner, accountKind: 'fund', parent, actor };
}

/** For commands that follow from a fact: one that the ledger refuses is a mistake in the books, not of a person. */
export function mustSucceed(outcomes: readonly LedgerOutcome[]): void {
  for (const outcome of outcomes) {
    if (!outcome.ok) throw new InvariantViolation(`${outcome.error.code}: ${outcome.error.detail}`);
  }
}
