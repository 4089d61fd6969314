import type { ProblemCode } from '@beamtime/contracts';
import { err, type JobId, ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { heldStates } from '../domain/attempt-lifecycle.js';
import { type AttemptClaim, fenced, refuseSuperseded } from './fence.js';

const held = heldStates.map((state) => `'${state}'`).join(', ');

/** Whether an agent may connect a served model to a gateway; asked again while the connection lasts. */
@Injectable()
export class AdmitTunnel {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    claim: AttemptClaim,
  ): Promise<Result<{ jobId: JobId; modelId: string | null; isLeaving: boolean }, Problem<ProblemCode>>> {
    const tx = this.transactor.read;
    const replaced = await refuseSuperseded(tx, claim);
    if (replaced !== undefined) return err(replaced);
    const row = await tx.row<{ id: JobId; model_id: string | null; is_leaving: boolean }>(
      `SELECT j.id, j.model_id, j.leaving_at IS NOT NULL AS is_leaving FROM scheduling.job j
       JOIN scheduling.attempt a ON a.job_id = j.id AND a.number = j.attempts
       WHERE j.id = $1 AND a.number = $2 AND a.cluster_id = $3 AND a.incarnation = $4 AND j.kind = 'serve'
         AND a.state IN (${held}) AND j.cancel_requested_at IS NULL`,
      [claim.jobId, claim.attempt, claim.clusterId, claim.incarnation],
    );
    if (row === undefined) return err(fenced(claim, 'serves nothing now'));
    return ok({ jobId: row.id, modelId: row.model_id, isLeaving: row.is_leaving });
  }
}
