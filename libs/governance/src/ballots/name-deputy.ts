import { err, ok, problem, type Result } from '@beamtime/kernel';
import { hasLabRole, type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type RoundState, statesBeforeVote } from '../domain/round-lifecycle.js';
import { ELECTORATE, type Electorate } from '../ports.js';
import { charterOf, findRound, type Refusal, type RoundRecord, refusalByState } from '../postgres/rounds.js';

const statesForDeputies: readonly RoundState[] = [...statesBeforeVote, 'voting'];

export interface DeputyView {
  readonly voterId: string;
  readonly deputyId: string;
  readonly namedBy: string;
  readonly at: string;
}

/** Lets a voter put the vote into the hands of a named deputy, and take it back. */
@Injectable()
export class NameDeputy {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(ELECTORATE) private readonly electorate: Electorate,
  ) {}

  async execute(
    caller: PersonPrincipal,
    roundId: string,
    wish: { voterId: string; deputyId: string },
  ): Promise<Result<DeputyView, Refusal>> {
    const allowed = await this.mayDispose(caller, roundId, wish.voterId);
    if (!allowed.ok) return allowed;
    if (!charterOf(allowed.value).deputies) {
      return err(problem('governance.deputies-not-allowed', 'The charter of this round allows no deputies'));
    }
    const labs = await this.electorate.labs();
    if (!labs.some((lab) => lab.people.some(({ personId }) => personId === wish.deputyId))) {
      return err(problem('resource.not-found', `Nobody of the consortium's labs is ${wish.deputyId}`));
    }
    return this.transactor.run(async (tx) => {
      const row = await tx.row<{ at: Date }>(
        `INSERT INTO governance.named_deputy (round_id, voter_id, deputy_id, named_by)
         SELECT r.id, $2, $3, $4 FROM governance.round r WHERE r.id = $1 AND r.state = ANY($5) FOR SHARE OF r
         ON CONFLICT ON CONSTRAINT named_deputy_pkey
           DO UPDATE SET deputy_id = EXCLUDED.deputy_id, named_by = EXCLUDED.named_by, at = now()
         RETURNING at`,
        [roundId, wish.voterId, wish.deputyId, caller.personId, statesForDeputies],
      );
      if (row === undefined) {
        return err(await refusalByState(tx, roundId, 'Naming a deputy', statesForDeputies));
      }
      await tx.audit({
        actor: caller.personId,
        action: 'round.name-deputy',
        subject: roundId,
        details: wish,
      });
      return ok({ ...wish, namedBy: caller.personId, at: row.at.toISOString() });
    });
  }

  async dismiss(
    caller: PersonPrincipal,
    roundId: string,
    voterId: string,
  ): Promise<Result<{ voterId: string; dismissed: boolean }, Refusal>> {
    const allowed = await this.mayDispose(caller, roundId, voterId);
    if (!allowed.ok) return allowed;
    return this.transactor.run(async (tx) => {
      const gone = await tx.changed(
        'DELETE FROM governance.named_deputy WHERE round_id = $1 AND voter_id = $2',
        [roundId, voterId],
      );
      if (gone > 0) {
        await tx.audit({
          actor: caller.personId,
          action: 'round.dismiss-deputy',
          subject: roundId,
          details: { voterId },
        });
      }
      return ok({ voterId, dismissed: gone > 0 });
    });
  }

  /** Whose vote it is: before the vote by the roles of today, afterwards by the frozen roll alone. */
  private async mayDispose(
    caller: PersonPrincipal,
    roundId: string,
    voterId: string,
  ): Promise<Result<RoundRecord, Refusal>> {
    const { read } = this.transactor;
    const round = await findRound(read, roundId);
    if (!round.ok) return round;
    if (!statesForDeputies.includes(round.value.state)) {
      return err(await refusalByState(read, roundId, 'Naming a deputy', statesForDeputies));
    }
    const holds =
      round.value.state === 'voting'
        ? await isPrincipalVoter(read, roundId, voterId, caller.personId)
        : voterId === caller.personId || hasLabRole(caller, voterId, 'delegate');
    if (holds) return round;
    return err(
      problem(
        'governance.not-on-roll',
        'Only the voter, or the delegate of the voting lab, may name a deputy',
      ),
    );
  }
}

async function isPrincipalVoter(
  tx: Tx,
  roundId: string,
  voterId: string,
  personId: string,
): Promise<boolean> {
  const row = await tx.row(
    `SELECT 1 FROM governance.roll_caster
     WHERE round_id = $1 AND voter_id = $2 AND person_id = $3 AND capacity IN ('delegate', 'member')`,
    [roundId, voterId, personId],
  );
  return row !== undefined;
}
