import type { LabId, RoundId } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { labAccount, roundAccount } from '../domain/ledger/account-owner.js';
import { Ledger } from '../ledger/ledger.js';
import { booksActor, gpuSeconds, mustSucceed, openGpuAccount } from './gpu-accounts.js';

/** Credits what each lab pledged to the lab's account and moves it into the pool of the round. Once per round and lab. */
@Injectable()
export class FundRound {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  async execute(
    tx: Tx,
    round: { roundId: RoundId | string; pledges: readonly { labId: LabId | string; gpuSeconds: number }[] },
  ): Promise<void> {
    const pool = roundAccount(round.roundId);
    const pledged = new Map<string, number>();
    for (const { labId, gpuSeconds: amount } of round.pledges) {
      pledged.set(labId, (pledged.get(labId) ?? 0) + amount);
    }
    mustSucceed(await this.ledger.apply([openGpuAccount(pool, 'consortium')], tx));
    for (const [labId, amount] of pledged) {
      if (amount === 0) continue;
      const lab = labAccount(labId);
      const movement = { unit: gpuSeconds, amount, reference: round.roundId, actor: booksActor } as const;
      mustSucceed(
        await this.ledger.apply(
          [
            openGpuAccount(lab, 'consortium'),
            {
              kind: 'transfer',
              id: `pledge/${round.roundId}/${labId}`,
              from: 'issuer',
              to: lab,
              ...movement,
            },
            { kind: 'transfer', id: `fund/${round.roundId}/${labId}`, from: lab, to: pool, ...movement },
          ],
          tx,
        ),
      );
    }
  }
}
