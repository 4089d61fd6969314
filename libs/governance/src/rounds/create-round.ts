import type { CharterInput, RoundView } from '@beamtime/contracts';
import { charterSchema } from '@beamtime/contracts';
import { ok, type Result } from '@beamtime/kernel';
import { newId, type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { checkCharter } from '../domain/charter.js';
import { appendRoundEvent, findRound, type Refusal, viewOfRound } from '../postgres/rounds.js';

/** Plans a round under a charter whose parts fit together. */
@Injectable()
export class CreateRound {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    caller: PersonPrincipal,
    wish: { title: string; description: string; charter: CharterInput },
  ): Promise<Result<RoundView, Refusal>> {
    const charter = checkCharter(charterSchema.parse(wish.charter));
    if (!charter.ok) return charter;
    const roundId = newId('Round');
    const { schedule } = charter.value;
    return this.transactor.run(async (tx) => {
      await tx.rows(
        `INSERT INTO governance.round (id, title, description, state, charter, created_by,
           open_proposals_at, deliberate_at, open_vote_at, close_at)
         VALUES ($1, $2, $3, 'planned', $4, $5, $6, $7, $8, $9)`,
        [
          roundId,
          wish.title,
          wish.description,
          JSON.stringify(charter.value),
          caller.personId,
          schedule.openProposalsAt ?? null,
          schedule.deliberateAt ?? null,
          schedule.openVoteAt ?? null,
          schedule.closeAt ?? null,
        ],
      );
      await appendRoundEvent(tx, {
        roundId,
        from: null,
        to: 'planned',
        actor: caller.personId,
        reason: wish.title,
      });
      const made = await findRound(tx, roundId);
      return made.ok ? ok(viewOfRound(made.value)) : made;
    });
  }
}
