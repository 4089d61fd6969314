import { type Metering as AccessMetering, Metering } from '@beamtime/access';
import { everything, FindModels, factorsOf, type ModelRecord } from '@beamtime/catalogue';
import type { PolicyModel } from '@beamtime/contracts';
import {
  type ClosedModel,
  METERING,
  type Metering as MeteringPort,
  MODEL_LOOKUP,
  type ModelLookup,
  type ServableRevision,
} from '@beamtime/inference';
import { err, invariant, type ModelId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { LOGGER } from '@beamtime/platform';
import type { Provider } from '@nestjs/common';
import type { Logger } from 'pino';

/** The ledger's metering as inference needs it. A hold that cannot be settled now expires by itself; the log says so. */
function meteringOf(access: AccessMetering, log: Logger): MeteringPort {
  return {
    async hold({ requestId, caller, target, scope, unit, amount }) {
      const held = await access.authorise({
        allocationId: caller.allocationId,
        personId: caller.personId,
        keyId: caller.keyId,
        scopes: caller.scopes,
        requestId,
        model: target.policyModel,
        revision: target.revision,
        scope,
        unit,
        amount,
      });
      return held.ok ? ok(held.value.holdId) : held;
    },
    async post(holdId, used, facts) {
      const settled = await access.settle(holdId, used, facts);
      if (!settled.ok) log.error({ holdId, used, problem: settled.error }, 'a request could not be posted');
    },
    async release(holdId) {
      const released = await access.release(holdId);
      if (!released.ok) log.error({ holdId, problem: released.error }, 'a hold could not be released');
    },
    grantedModels: (caller) => access.grantedModels(caller.allocationId),
  };
}

function policyModelOf(model: ModelRecord, weights: PolicyModel['weights']): PolicyModel {
  const factors = factorsOf(model);
  return {
    modelId: model.id,
    suiteId: model.suite_id,
    language: factors.language,
    family: factors.family,
    parameters: factors.parameters,
    weights,
    trainedAt: model.ready_at,
  };
}

/** A closed model has no revisions that the facility could tell apart: `main` is whatever answers. */
function closedModel(
  model: ModelRecord,
  revision: string | undefined,
): Result<ClosedModel, Problem<'resource.not-found'>> {
  if (revision !== undefined && revision !== 'main') {
    return err(problem('resource.not-found', `${model.name} has no revision ${revision}`, { revision }));
  }
  return ok<ClosedModel>({
    kind: 'closed',
    modelId: model.id as ModelId,
    modelName: model.name,
    revision: 'main',
    policyModel: policyModelOf(model, 'closed'),
    provider: model.source ?? '',
    upstream: model.upstream ?? '',
    upstreamModel: model.upstream_model ?? '',
  });
}

function withdrawn({ name, reason }: ModelRecord): Problem<'catalogue.withdrawn'> {
  return problem(
    'catalogue.withdrawn',
    `${name} is not offered any more: ${reason ?? 'no reason was given'}`,
  );
}

/**
 * Models with weights and closed ones, by name. What a key may use is for the metering to say, so the lookup itself sees all; a model
 * outside the allocation is refused before anything of it is shown.
 */
function lookupIn(models: FindModels): ModelLookup {
  return {
    async find(name, revision) {
      const named = await models.record(everything, name);
      if (!named.ok) return named;
      if (named.value.state === 'withdrawn') return err(withdrawn(named.value));
      if (named.value.state === 'listed') return closedModel(named.value, revision);
      const found = await models.revision(everything, named.value.id, revision ?? 'main');
      if (!found.ok) return found;
      const { model, revision: record } = found.value;
      if (model.state !== 'ready' && model.state !== 'imported' && record === undefined) {
        return err(problem('catalogue.not-loadable', `${model.name} has no weights yet`));
      }
      return ok<ServableRevision>({
        kind: 'served',
        modelId: model.id as ModelId,
        modelName: model.name,
        revision: `step${record.step}`,
        policyModel: policyModelOf(model, model.visibility === 'public' ? 'open' : 'closed'),
      });
    },
    async list(patterns) {
      const listed = [];
      for (const state of ['ready', 'imported', 'listed'] as const) {
        const page = await models.list(everything, { limit: 500, state, factor: [] });
        invariant(page.ok, 'a list without factors is always valid');
        listed.push(...page.value.items);
      }
      return listed
        .filter((m) => patterns.some((p) => p === '*' || p === m.modelId || p === m.suiteId))
        .map((m) => ({ name: m.name, readyAt: new Date(m.readyAt ?? m.createdAt) }));
    },
  };
}

/** Inference's ports, joined to the ledger and the catalogue. */
export const inferencePorts: Provider[] = [
  { provide: METERING, inject: [Metering, LOGGER], useFactory: meteringOf },
  { provide: MODEL_LOOKUP, inject: [FindModels], useFactory: lookupIn },
];
