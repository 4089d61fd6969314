import { z } from 'zod';
import { endpoint, idText, isoTime } from './endpoint.js';
import { gpuShareSchema } from './gpu-share.js';

/** Serving: how many replicas of a model there are, and between what their number follows the load. */

export const servingLimits = {
  /** Replicas of one model at most. */
  replicas: 32,
  /** Requests in flight that may be aimed at per replica: what one connection to an agent carries. */
  targetInFlight: 64,
  idleSecondsLeast: 60,
  idleSecondsMost: 604_800,
} as const;

/** What holds for a model for which nobody set anything: it is loaded when it is asked, once. */
export const servingDefaults = {
  floor: 0,
  ceiling: 1,
  targetInFlight: 8,
  idleSeconds: 900,
  gpuShareMilli: 1_000,
} as const;

const bounds = {
  floor: z
    .number()
    .int()
    .min(0)
    .max(servingLimits.replicas)
    .describe('Replicas that are kept whether somebody asks or not; 0: none when nobody does'),
  ceiling: z.number().int().min(1).max(servingLimits.replicas).describe('Replicas at most'),
  targetInFlight: z
    .number()
    .int()
    .min(1)
    .max(servingLimits.targetInFlight)
    .describe('Requests in flight or waiting that there should be for each replica'),
  idleSeconds: z
    .number()
    .int()
    .min(servingLimits.idleSecondsLeast)
    .max(servingLimits.idleSecondsMost)
    .describe('After so long without a request there are no more replicas than the floor says'),
  gpuShareMilli: gpuShareSchema,
};

export const servingSchema = z
  .object({
    modelId: idText('mdl'),
    modelName: z.string(),
    ...bounds,
    setBy: idText('per').nullable().describe('Null: the defaults hold'),
    setAt: isoTime.nullable(),
    wanted: z.number().int().min(0).describe('Replicas that there should be now, by load and bounds'),
    live: z.number().int().min(0).describe('Replicas that take requests'),
    starting: z.number().int().min(0).describe('Replicas that wait for a cluster or load the model'),
    leaving: z
      .number()
      .int()
      .min(0)
      .describe('Replicas that get no new requests and end when theirs are done'),
    inFlight: z.number().int().min(0).describe('Requests at replicas, at all gateways, as last told'),
    waiting: z.number().int().min(0).describe('Requests that wait for a replica'),
    lastUsedAt: isoTime.nullable(),
    refusal: z
      .object({ at: isoTime, reason: z.string() })
      .nullable()
      .describe('Why a replica that is wanted could not be started'),
    replicas: z.array(
      z.object({
        jobId: idText('job'),
        replica: z.number().int().min(1).nullable().describe('Null: a job that a person submitted'),
        state: z.enum(['starting', 'live', 'leaving']),
        clusterId: idText('clu').nullable(),
        clusterName: z.string().nullable(),
        inFlight: z.number().int().min(0),
        submittedAt: isoTime,
      }),
    ),
  })
  .meta({ id: 'Serving' });
export type ServingView = z.infer<typeof servingSchema>;

export const showServing = endpoint({
  id: 'models.serving.show',
  method: 'GET',
  path: '/models/:modelId/serving',
  access: { kind: 'person' },
  summary: 'The replicas of a model: bounds, how many are wanted and live, where they run, what they do',
  params: z.object({ modelId: idText('mdl') }),
  response: servingSchema,
  errors: ['resource.not-found'],
});

export const setServing = endpoint({
  id: 'models.serving.set',
  method: 'POST',
  path: '/models/:modelId/serving',
  access: { kind: 'person', roles: ['secretariat', 'operator'] },
  summary: 'Set between what the number of replicas of a model follows its load',
  description:
    'For the secretariat, and for operators of the lab on whose share the model is served. What is left out stays as it is. Replicas of a floor are charged like any that somebody asked for. Kept in the audit log.',
  params: z.object({ modelId: idText('mdl') }),
  body: z
    .object({
      floor: bounds.floor.optional(),
      ceiling: bounds.ceiling.optional(),
      targetInFlight: bounds.targetInFlight.optional(),
      idleSeconds: bounds.idleSeconds.optional(),
      gpuShareMilli: bounds.gpuShareMilli
        .optional()
        .describe(`${gpuShareSchema.description}. For replicas that start from now on`),
    })
    .refine((body) => Object.values(body).some((one) => one !== undefined), 'name at least one of them'),
  response: servingSchema,
  errors: ['resource.not-found', 'catalogue.not-loadable', 'catalogue.behaviour-only', 'limit.exceeded'],
});

export const listServing = endpoint({
  id: 'models.serving.list',
  method: 'GET',
  path: '/serving',
  access: { kind: 'person' },
  summary: 'The replicas of all models that are in use or have a floor',
  response: z.object({ items: z.array(servingSchema) }),
});
