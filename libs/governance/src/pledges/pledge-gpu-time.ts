import { err, ok, problem, type Result } from '@beamtime/kernel';
import { hasLabRole, newId, type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { statesBeforeVote } from '../domain/round-lifecycle.js';
import { budgetsOf, charterOf, findRound, type Refusal, refusalByState } from '../postgres/rounds.js';

export interface PledgeView {
  readonly labId: string;
  readonly gpuType: string;
  readonly gpuSeconds: number;
  readonly pledgedBy: string;
  readonly at: string;
}

interface PledgeRecord {
  lab_id: string;
  gpu_type: string;
  gpu_seconds: string;
  pledged_by: string;
  at: Date;
}

/** Pledges of labs, which make the budget of a round. */
@Injectable()
export class PledgeGpuTime {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    caller: PersonPrincipal,
    roundId: string,
    wish: { labId: string; gpuType: string; gpuSeconds: number },
  ): Promise<Result<PledgeView, Refusal>> {
    if (!hasLabRole(caller, wish.labId, 'delegate')) {
      return err(problem('auth.forbidden', 'Only a delegate of the lab may pledge its GPU time'));
    }
    return this.transactor.run(async (tx) => {
      const round = await findRound(tx, roundId);
      if (!round.ok) return round;
      const { gpuTypes } = charterOf(round.value);
      if (!gpuTypes.includes(wish.gpuType)) {
        return err(
          problem('governance.unknown-gpu-type', `This round has budgets for ${gpuTypes.join(', ')} only`, {
            gpuTypes,
          }),
        );
      }
      const stored = await upsert(tx, caller, roundId, wish);
      if (stored === undefined) return err(await refusalByState(tx, roundId, 'Pledging', statesBeforeVote));
      await tx.audit({
        actor: caller.personId,
        action: 'round.pledge',
        subject: roundId,
        details: { ...wish },
      });
      return ok(viewOfPledge(stored));
    });
  }

  async list(
    roundId: string,
  ): Promise<Result<{ pledges: PledgeView[]; budgets: { gpuType: string; gpuSeconds: number }[] }, Refusal>> {
    const round = await findRound(this.transactor.read, roundId);
    if (!round.ok) return round;
    const rows = await this.transactor.read.rows<PledgeRecord>(
      `SELECT lab_id, gpu_type, gpu_seconds, pledged_by, at FROM governance.pledge
       WHERE round_id = $1 AND gpu_seconds > 0 ORDER BY lab_id, gpu_type`,
      [roundId],
    );
    return ok({ pledges: rows.map(viewOfPledge), budgets: budgetsOf(round.value) });
  }
}

/** Replaces the lab's pledge, if the round still takes pledges at the very moment of writing. */
async function upsert(
  tx: Tx,
  caller: PersonPrincipal,
  roundId: string,
  wish: { labId: string; gpuType: string; gpuSeconds: number },
): Promise<PledgeRecord | undefined> {
  return tx.row<PledgeRecord>(
    `INSERT INTO governance.pledge (id, round_id, lab_id, gpu_type, gpu_seconds, pledged_by)
     SELECT $1, r.id, $3, $4, $5, $6 FROM governance.round r WHERE r.id = $2 AND r.state = ANY($7) FOR SHARE OF r
     ON CONFLICT ON CONSTRAINT pledge_once
       DO UPDATE SET gpu_seconds = EXCLUDED.gpu_seconds, pledged_by = EXCLUDED.pledged_by, at = now()
     RETURNING lab_id, gpu_type, gpu_seconds, pledged_by, at`,
    [newId('Pledge'), roundId, wish.labId, wish.gpuType, wish.gpuSeconds, caller.personId, statesBeforeVote],
  );
}

function viewOfPledge(row: PledgeRecord): PledgeView {
  return {
    labId: row.lab_id,
    gpuType: row.gpu_type,
    gpuSeconds: Number(row.gpu_seconds),
    pledgedBy: row.pledged_by,
    at: row.at.toISOString(),
  };
}
