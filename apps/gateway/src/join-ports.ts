import { type Metering as AccessMetering, Metering } from '@beamtime/access';
import { everything, FindModels } from '@beamtime/catalogue';
import type { PolicyModel } from '@beamtime/contracts';
import {
  METERING,
  type Metering as MeteringPort,
  MODEL_LOOKUP,
  type ModelLookup,
  type ServableRevision,
} from '@beamtime/inference';
import { err, invariant, type ModelId, ok, problem } from '@beamtime/kernel';
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

/**
 * Models with weights, by name. What a key may use is for the metering to say, so the lookup itself sees all; a model
 * outside the allocation is refused before anything of it is shown.
 */
function lookupIn(models: FindModels): ModelLookup {
  return {
    async find(name, revision) {
      const found = await models.revision(everything, name, revision ?? 'main');
      if (!found.ok) return found;
      const { model, revision: record } = found.value;
      if (model.state !== 'ready' && model.state !== 'imported' && record === undefined) {
        return err(problem('catalogue.not-loadable', `${model.name} has no weights yet`));
      }
      const factors = model.factors as {
        language?: string | null;
        family?: string | null;
        parameters?: number | null;
      };
      const policyModel: PolicyModel = {
        modelId: model.id,
        suiteId: model.suite_id,
        language: factors.language ?? null,
        family: factors.family ?? null,
        parameters: factors.parameters ?? null,
        weights: model.visibility === 'public' ? 'open' : 'closed',
        trainedAt: model.ready_at,
      };
      return ok<ServableRevision>({
        modelId: model.id as ModelId,
        modelName: model.name,
        revision: `step${record.step}`,
        policyModel,
      });
    },
    async list(patterns) {
      const listed = [];
      for (const state of ['ready', 'imported'] as const) {
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
