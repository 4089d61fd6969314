import type { SuiteId } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { suiteAccount } from '../domain/ledger/account-owner.js';
import { Ledger } from '../ledger/ledger.js';
import { booksActor, gpuSeconds, mustSucceed } from './gpu-accounts.js';

/**
 * Closes the account of a suite whose models are all trained, and passes what it did not need to operations. What
 * jobs still hold follows when they settle.
 */
@Injectable()
export class ReleaseSuite {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  async execute(tx: Tx, suite: { suiteId: SuiteId | string }): Promise<void> {
    const owner = suiteAccount(suite.suiteId);
    const account = await this.ledger.balance(gpuSeconds, owner, tx);
    // A suite that no round paid for has no account.
    if (account === undefined) return;
    mustSucceed(
      await this.ledger.apply(
        [
          {
            kind: 'adjust',
            unit: gpuSeconds,
            owner,
            closesAt: account.closesAt ?? new Date(),
            actor: booksActor,
          },
          {
            kind: 'transfer',
            id: `release/${suite.suiteId}`,
            unit: gpuSeconds,
            from: owner,
            to: 'operations',
            reference: suite.suiteId,
            actor: booksActor,
          },
        ],
        tx,
      ),
    );
  }
}
