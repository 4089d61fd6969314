import { units } from '@beamtime/kernel';
import { z } from 'zod';
import { idText } from './endpoint.js';
import { type Scope, scopeSchema } from './roles.js';
import { architectureFamilies } from './suite.js';

/**
 * Policies (guardrails) that the consortium adopts by vote, as rules that a program can follow. Access looks at
 * them when it grants and holds, the gateway before it runs a request. Each rule says which models it covers.
 */
const idsAtMost = 1_000;
/** A year and a day: a longer window would never be looked at again. */
const windowHoursAtMost = 8_784;

export const modelSelectorSchema = z
  .object({
    modelIds: z.array(idText('mdl')).min(1).max(idsAtMost).optional(),
    suiteIds: z.array(idText('sui')).min(1).max(idsAtMost).optional(),
    languages: z
      .array(z.string().regex(/^[a-z]{3}$/))
      .min(1)
      .max(idsAtMost)
      .optional()
      .describe('ISO 639-3'),
    families: z.array(z.enum(architectureFamilies)).min(1).optional(),
    minParameters: z.number().int().nonnegative().optional(),
    maxParameters: z.number().int().nonnegative().optional(),
    weights: z
      .enum(['open', 'closed'])
      .optional()
      .describe('Whether the weights can be downloaded by everyone'),
  })
  .describe('A model is covered when it meets all that is named; an empty selector covers every model')
  .meta({ id: 'ModelSelector' });
export type ModelSelector = z.output<typeof modelSelectorSchema>;

const models = modelSelectorSchema.default({});
const exceptLabs = z
  .array(idText('lab'))
  .max(idsAtMost)
  .default([])
  .describe('Labs to which the rule does not apply');

export const policyRuleSchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('deny-scope'), scope: scopeSchema, models, exceptLabs }),
    z.object({
      kind: z.literal('cap-units'),
      unit: z.enum(units),
      amount: z.number().int().nonnegative().describe('No more than this within any window'),
      windowHours: z.number().int().min(1).max(windowHoursAtMost).default(24),
      per: z.enum(['person', 'lab', 'allocation']).default('allocation'),
      models,
      exceptLabs,
    }),
    z.object({
      kind: z.literal('embargo'),
      days: z
        .number()
        .int()
        .min(1)
        .max(3_650)
        .describe('Counted from the day on which the model was trained'),
      models,
      exceptLabs,
    }),
    z.object({
      kind: z.literal('require-reviews'),
      scope: scopeSchema,
      recommendations: z.number().int().min(1).max(10).describe('From reviewers of that many other labs'),
      models,
      exceptLabs,
    }),
  ])
  .meta({ id: 'PolicyRule' });
export type PolicyRule = z.output<typeof policyRuleSchema>;

/** What a policy needs to know of a model. */
export interface PolicyModel {
  readonly modelId: string;
  readonly suiteId: string | null;
  readonly language: string | null;
  readonly family: string | null;
  readonly parameters: number | null;
  readonly weights: 'open' | 'closed';
  readonly trainedAt: Date | null;
}

export interface PolicyInForce {
  readonly policyId: string;
  readonly rule: PolicyRule;
}

/** Whether a selector covers a model. What is not known of a model counts as covered: a guardrail errs that way. */
export function selectorCovers(selector: ModelSelector, model: PolicyModel): boolean {
  const among = (list: readonly string[] | undefined, value: string | null): boolean =>
    list === undefined || value === null || list.includes(value);
  return (
    (selector.modelIds === undefined || selector.modelIds.includes(model.modelId)) &&
    (selector.suiteIds === undefined ||
      (model.suiteId !== null && selector.suiteIds.includes(model.suiteId))) &&
    among(selector.languages, model.language) &&
    among(selector.families, model.family) &&
    (model.parameters === null ||
      ((selector.minParameters === undefined || model.parameters >= selector.minParameters) &&
        (selector.maxParameters === undefined || model.parameters <= selector.maxParameters))) &&
    (selector.weights === undefined || selector.weights === model.weights)
  );
}

function applies(rule: PolicyRule, model: PolicyModel, labId: string | null): boolean {
  return (labId === null || !rule.exceptLabs.includes(labId)) && selectorCovers(rule.models, model);
}

export interface PolicyRequest {
  readonly scope: Scope;
  readonly model: PolicyModel;
  /** The lab for which is asked. */
  readonly labId: string | null;
  readonly now: Date;
}

const dayMs = 86_400_000;

/** The first policy that forbids this use outright, with a sentence for the person; null when none does. */
export function refusalByPolicy(
  policies: readonly PolicyInForce[],
  request: PolicyRequest,
): { readonly policyId: string; readonly detail: string } | null {
  for (const { policyId, rule } of policies) {
    if (!applies(rule, request.model, request.labId)) continue;
    if (rule.kind === 'deny-scope' && rule.scope === request.scope) {
      return { policyId, detail: `The policy ${policyId} denies the scope ${rule.scope} on this model` };
    }
    if (rule.kind === 'embargo') {
      const { trainedAt } = request.model;
      const endsAt = trainedAt === null ? null : new Date(trainedAt.getTime() + rule.days * dayMs);
      if (endsAt === null || request.now < endsAt) {
        const until = endsAt === null ? `${rule.days} days after its training` : endsAt.toISOString();
        return { policyId, detail: `The policy ${policyId} keeps this model under embargo until ${until}` };
      }
    }
  }
  return null;
}

export type CapUnits = Extract<PolicyRule, { kind: 'cap-units' }>;

/** The caps that bind a use of this model by this lab. */
export function capsByPolicy(
  policies: readonly PolicyInForce[],
  model: PolicyModel,
  labId: string | null,
): { readonly policyId: string; readonly rule: CapUnits }[] {
  return policies.flatMap(({ policyId, rule }) =>
    rule.kind === 'cap-units' && applies(rule, model, labId) ? [{ policyId, rule }] : [],
  );
}

/** How many recommendations an application for this scope on this model needs; 0 when no policy asks for any. */
export function reviewsByPolicy(policies: readonly PolicyInForce[], request: PolicyRequest): number {
  let needed = 0;
  for (const { rule } of policies) {
    if (rule.kind !== 'require-reviews' || rule.scope !== request.scope) continue;
    if (applies(rule, request.model, request.labId)) needed = Math.max(needed, rule.recommendations);
  }
  return needed;
}
