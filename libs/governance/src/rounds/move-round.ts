import type { RoundView } from '@beamtime/contracts';
import { err, move, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { roundLifecycle } from '../domain/round-lifecycle.js';
import {
  appendRoundEvent,
  charterOf,
  findRound,
  lockRound,
  type Refusal,
  viewOfRound,
} from '../postgres/rounds.js';
import { countKnock } from './knock-names.js';

/** Moves that need nothing but the lifecycle's consent; opening the vote and deciding have files of their own. */
export type SimpleMove = 'proposing' | 'deliberating' | 'counting' | 'cancelled';

/** Opens a round for proposals, starts its deliberation, closes its vote, or cancels it. */
@Injectable()
export class MoveRound {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    actor: string,
    roundId: string,
    to: SimpleMove,
    reason: string,
  ): Promise<Result<RoundView, Refusal>> {
    return this.transactor.run(async (tx) => {
      // Waits for the ballots that are being written at this moment; later ones wait for us.
      const locked = await lockRound(tx, roundId);
      if (!locked.ok) return locked;
      const from = locked.value.state;
      const legal = move(roundLifecycle, `The round ${roundId}`, from, to);
      if (!legal.ok) return legal;
      if (to === 'deliberating' && !charterOf(locked.value).deliberation) {
        return err(
          problem('state.illegal-transition', 'The charter of this round has no deliberation: open the vote'),
        );
      }
      await tx.rows('UPDATE governance.round SET state = $2 WHERE id = $1', [roundId, to]);
      await appendRoundEvent(tx, { roundId, from, to, actor, reason });
      if (to === 'counting') tx.knock(countKnock);
      const round = await findRound(tx, roundId);
      return round.ok ? ok(viewOfRound(round.value)) : round;
    });
  }
}
