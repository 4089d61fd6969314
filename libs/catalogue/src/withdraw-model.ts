import type { ModelView } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result, statesBefore } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { modelLifecycle } from './domain/lifecycles.js';
import { noModel } from './find-models.js';
import { modelView, readModels } from './postgres/read-models.js';
import { everything } from './viewer.js';

type Refused = Problem<'resource.not-found' | 'state.illegal-transition'>;

/** Says of a closed model that nobody offers it any more. What is known of it stays, for those who cite it. */
@Injectable()
export class WithdrawModel {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** Again is harmless: the first reason stays. */
  async execute(model: string, reason: string, personId: string): Promise<Result<ModelView, Refused>> {
    return this.transactor.do(async (tx) => {
      const gone = await tx.row<{ id: string }>(
        `UPDATE catalogue.model SET state = 'withdrawn', reason = $2
         WHERE (id = $1 OR name_key = lower($1)) AND state = ANY ($3) RETURNING id`,
        [model, reason, statesBefore(modelLifecycle, 'withdrawn')],
      );
      if (gone !== undefined) {
        await tx.audit({ actor: personId, action: 'model.withdrawn', subject: gone.id, details: { reason } });
      }
      const [found] = await readModels(tx, everything, { models: [model], limit: 1 });
      if (found === undefined) return err(noModel(model));
      return found.state === 'withdrawn'
        ? ok(modelView(found))
        : err(
            problem(
              'state.illegal-transition',
              `${found.name} is ${found.state}: only a closed model, which is listed, can be withdrawn`,
            ),
          );
    });
  }
}
