import type { ProposalId, RoundId, SuiteId } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { roundAccount, suiteAccount } from '../domain/ledger/account-owner.js';
import { Ledger } from '../ledger/ledger.js';
import { booksActor, gpuSeconds, mustSucceed, openGpuAccount } from './gpu-accounts.js';

export interface AdoptedSuite {
  readonly proposalId: ProposalId | string;
  readonly suiteId: SuiteId | string;
  readonly gpuSeconds: number;
}

/**
 * Reserves what a decided round granted to each suite, from the round's pool. What the round leaves goes to the
 * operations account, from which models are served and evaluated: models that nobody can query help nobody.
 */
@Injectable()
export class ReserveSuites {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  async execute(
    tx: Tx,
    round: { roundId: RoundId | string; adopted: readonly AdoptedSuite[] },
  ): Promise<void> {
    const pool = roundAccount(round.roundId);
    mustSucceed(
      await this.ledger.apply(
        [openGpuAccount(pool, 'consortium'), openGpuAccount('operations', 'consortium')],
        tx,
      ),
    );
    for (const { proposalId, suiteId, gpuSeconds: amount } of round.adopted) {
      const suite = suiteAccount(suiteId);
      mustSucceed(
        await this.ledger.apply(
          [
            openGpuAccount(suite, pool),
            {
              kind: 'transfer',
              id: `reserve/${round.roundId}/${proposalId}`,
              unit: gpuSeconds,
              from: pool,
              to: suite,
              amount,
              reference: suiteId,
              actor: booksActor,
              details: { roundId: round.roundId, proposalId },
            },
          ],
          tx,
        ),
      );
    }
    mustSucceed([
      await this.ledger.transfer(
        {
          id: `remainder/${round.roundId}`,
          unit: gpuSeconds,
          from: pool,
          to: 'operations',
          reference: round.roundId,
          actor: booksActor,
        },
        tx,
      ),
    ]);
  }
}
