import { type CharterInput, charterSchema, type RoundView } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type Charter, checkCharter, decides } from '../domain/charter.js';
import { statesBeforeVote } from '../domain/round-lifecycle.js';
import { findRound, lockRound, type Refusal, refusalByState, viewOfRound } from '../postgres/rounds.js';

/** Replaces the charter of a round whose vote has not opened. */
@Injectable()
export class AmendCharter {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    caller: PersonPrincipal,
    roundId: string,
    wish: { charter: CharterInput; reason: string },
  ): Promise<Result<RoundView, Refusal>> {
    const charter = checkCharter(charterSchema.parse(wish.charter));
    if (!charter.ok) return charter;
    const { schedule } = charter.value;
    return this.transactor.run(async (tx) => {
      const locked = await lockRound(tx, roundId);
      if (!locked.ok) return locked;
      const orphan = await undecidable(tx, roundId, charter.value);
      if (orphan !== undefined) return err(orphan);
      const changed = await tx.changed(
        `UPDATE governance.round SET charter = $2, open_proposals_at = $3, deliberate_at = $4, open_vote_at = $5,
           close_at = $6 WHERE id = $1 AND state = ANY($7)`,
        [
          roundId,
          JSON.stringify(charter.value),
          schedule.openProposalsAt ?? null,
          schedule.deliberateAt ?? null,
          schedule.openVoteAt ?? null,
          schedule.closeAt ?? null,
          statesBeforeVote,
        ],
      );
      if (changed === 0)
        return err(await refusalByState(tx, roundId, 'Amending the charter', statesBeforeVote));
      await tx.audit({
        actor: caller.personId,
        action: 'round.amend-charter',
        subject: roundId,
        details: { charter: charter.value, reason: wish.reason },
      });
      const round = await findRound(tx, roundId);
      return round.ok ? ok(viewOfRound(round.value)) : round;
    });
  }
}

/** A proposal that stands already must stay one that the round can decide. */
async function undecidable(tx: Tx, roundId: string, charter: Charter): Promise<Refusal | undefined> {
  const rows = await tx.rows<{ id: string; kind: 'suite' | 'policy' | 'motion' }>(
    `SELECT id, kind FROM governance.proposal WHERE round_id = $1 AND state = 'open' ORDER BY id`,
    [roundId],
  );
  const orphan = rows.find(({ kind }) => !decides(charter.rule, kind));
  if (orphan === undefined) return undefined;
  return problem(
    'governance.invalid-charter',
    `charter.rule: ${charter.rule.name} cannot decide the ${orphan.kind} ${orphan.id} that stands already`,
    { proposalId: orphan.id },
  );
}
