import { type InputOf, type listClosedModel, type ModelView, modelFactorsSchema } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { modelView, readModels } from './postgres/read-models.js';
import { everything } from './viewer.js';

type Listing = InputOf<typeof listClosedModel>['body'];

/** Lists a model whose weights stay with who offers it: an upstream answers for it, and nothing else of it is here. */
@Injectable()
export class ListClosedModel {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** The same description again answers the same model; another one of that name is refused. */
  async execute(listing: Listing, personId: string): Promise<Result<ModelView, Problem<'resource.exists'>>> {
    const { name, provider, upstream, upstreamModel } = listing;
    const factors = JSON.stringify(modelFactorsSchema.parse(listing.factors));
    return this.transactor.do(async (tx) => {
      const modelId = newId('Model');
      // When it was trained is not known, so `ready_at` stays empty.
      const added = await tx.row<{ id: string }>(
        `INSERT INTO catalogue.model
           (id, name, name_key, state, visibility, source, upstream, upstream_model, created_by, factors)
         VALUES ($1, $2, lower($2), 'listed', 'public', $3, $4, $5, $6, $7) ON CONFLICT (name_key) DO NOTHING
         RETURNING id`,
        [modelId, name, provider, upstream, upstreamModel, personId, factors],
      );
      if (added !== undefined) {
        await tx.audit({
          actor: personId,
          action: 'model.listed',
          subject: modelId,
          details: { name, provider, upstream, upstreamModel },
        });
      }
      const same = await tx.row<{ id: string }>(
        `SELECT id FROM catalogue.model
         WHERE name = $1 AND state = 'listed' AND source = $2 AND upstream = $3 AND upstream_model = $4 AND factors = $5::jsonb`,
        [name, provider, upstream, upstreamModel, factors],
      );
      const [listed] =
        same === undefined ? [] : await readModels(tx, everything, { models: [same.id], limit: 1 });
      return listed === undefined
        ? err(problem('resource.exists', `There is another model named ${name}; choose another name`))
        : ok(modelView(listed));
    });
  }
}
