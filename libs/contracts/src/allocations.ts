import { z } from 'zod';
import { endpoint, idText, isoTime, pageOf, pageQuery, shortText } from './endpoint.js';
import { scopeSchema } from './roles.js';
import {
  lifecycleEventSchema,
  modelPattern,
  scopeList,
  unitAmounts,
  unitSchema,
  unitSum,
  unitsAtMost,
} from './units.js';

/** Allocations: what was granted, what of it is used, and the keys to it. */

export const allocationStateSchema = z.enum(['active', 'suspended', 'expired', 'closed']);

export const unitBalanceSchema = z.object({
  unit: unitSchema,
  granted: unitSum.describe('All that was ever granted'),
  available: unitSum.describe('What a request could hold now'),
  held: unitSum.describe('Set aside by requests that run'),
  used: unitSum,
});

export const allocationSchema = z
  .object({
    allocationId: idText('alc'),
    applicationId: idText('app'),
    labId: idText('lab'),
    ownerId: idText('per'),
    memberIds: z.array(idText('per')),
    title: z.string(),
    models: z.array(modelPattern),
    scopes: z.array(scopeSchema),
    startsAt: isoTime,
    endsAt: isoTime,
    state: allocationStateSchema,
    createdAt: isoTime,
    balances: z.array(unitBalanceSchema),
  })
  .meta({ id: 'Allocation' });
export type AllocationWire = z.input<typeof allocationSchema>;

const allocationParams = z.object({ allocationId: idText('alc') });
const allocationErrors = ['resource.not-found', 'auth.forbidden'] as const;

export const listAllocations = endpoint({
  id: 'allocations.list',
  method: 'GET',
  path: '/allocations',
  access: { kind: 'person' },
  summary: 'Allocations that I may see: mine, those of labs I represent, for the secretariat all',
  query: pageQuery.extend({ state: allocationStateSchema.optional() }),
  response: pageOf(allocationSchema),
});

export const showAllocation = endpoint({
  id: 'allocations.show',
  method: 'GET',
  path: '/allocations/:allocationId',
  access: { kind: 'person-or-api-key' },
  summary: 'One allocation: what it grants, holds and has used',
  params: allocationParams,
  response: allocationSchema.extend({ events: z.array(lifecycleEventSchema) }),
  errors: allocationErrors,
});

export const usageRecordSchema = z
  .object({
    seq: z.number().int().describe('In the journal'),
    requestId: z.string(),
    personId: idText('per').nullable(),
    keyId: idText('key').nullable(),
    modelId: idText('mdl').nullable(),
    revision: z.string().nullable(),
    scope: scopeSchema.nullable(),
    unit: unitSchema,
    held: unitSum,
    used: unitSum.nullable().describe('Null while the request runs'),
    state: z.enum(['pending', 'posted', 'voided', 'expired']),
    receipt: z.unknown().describe('The numerics receipt of the answer'),
    at: isoTime,
    settledAt: isoTime.nullable(),
  })
  .meta({ id: 'UsageRecord' });

export const listUsage = endpoint({
  id: 'allocations.usage',
  method: 'GET',
  path: '/allocations/:allocationId/usage',
  access: { kind: 'person-or-api-key' },
  summary: 'Every request of an allocation with what it held and used, newest first',
  params: allocationParams,
  query: z.object({
    limit: z.coerce.number().int().min(1).max(500).default(100),
    beforeSeq: z.coerce.number().int().min(1).optional(),
    requestId: z.string().max(200).optional(),
  }),
  response: z.object({
    items: z.array(usageRecordSchema),
    totals: z.array(
      z.object({
        unit: unitSchema,
        requests: z.number().int(),
        held: unitSum,
        used: unitSum,
        returned: unitSum,
      }),
    ),
  }),
  errors: allocationErrors,
});

export const createAllocationKey = endpoint({
  id: 'allocations.keys.create',
  method: 'POST',
  path: '/allocations/:allocationId/keys',
  access: { kind: 'person' },
  summary: 'Make an API key of my allocation; it is shown only now',
  params: allocationParams,
  body: z.object({
    label: shortText.max(100),
    scopes: scopeList.optional().describe('All of the allocation unless said'),
    expiresAt: isoTime.optional().describe('As long as the allocation unless said'),
  }),
  response: z.object({
    keyId: idText('key'),
    token: z.string().describe('Send it as a bearer token; it cannot be shown again'),
    scopes: z.array(scopeSchema),
    expiresAt: isoTime.nullable(),
  }),
  status: 201,
  errors: [...allocationErrors, 'auth.scope-missing', 'access.allocation-inactive', 'limit.exceeded'],
});

export const amendAllocation = endpoint({
  id: 'allocations.amend',
  method: 'POST',
  path: '/allocations/:allocationId/amendments',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Supplement an allocation with units, or extend it',
  params: allocationParams,
  body: z
    .object({
      amendmentId: z
        .string()
        .regex(/^[A-Za-z0-9_-]{8,80}$/)
        .describe('Made by the client: the same amendment sent again changes nothing'),
      supplement: unitAmounts.optional(),
      endsAt: isoTime.optional(),
      reason: shortText.max(2_000),
    })
    .refine((body) => body.supplement !== undefined || body.endsAt !== undefined, {
      message: 'name `supplement` or `endsAt`',
    }),
  response: allocationSchema,
  errors: [
    ...allocationErrors,
    'access.allocation-inactive',
    'access.id-reused',
    'access.conflict-of-interest',
    'access.insufficient-units',
    'request.invalid',
  ],
});

export const limitPerson = endpoint({
  id: 'allocations.limit-person',
  method: 'PUT',
  path: '/allocations/:allocationId/people/:personId/limit',
  access: { kind: 'person' },
  summary: 'Limit what one person may use of my allocation',
  description:
    'What this person holds and uses from then on stays within the limit, and within the allocation. Null lifts it.',
  params: allocationParams.extend({ personId: idText('per') }),
  body: z.object({ unit: unitSchema, limit: z.number().int().min(0).max(unitsAtMost).nullable() }),
  response: z.object({
    unit: unitSchema,
    limit: unitSum.nullable(),
    held: unitSum,
    used: unitSum,
    available: unitSum,
  }),
  errors: [...allocationErrors, 'limit.exceeded'],
});

const stateChange = <const Id extends string, const Verb extends string>(
  id: Id,
  verb: Verb,
  summary: string,
) =>
  endpoint({
    id,
    method: 'POST',
    path: `/allocations/:allocationId/${verb}`,
    access: { kind: 'person' },
    summary,
    params: allocationParams,
    body: z.object({ reason: shortText.max(2_000) }),
    response: allocationSchema,
    errors: [...allocationErrors, 'state.illegal-transition'],
  });
export const closeAllocation = stateChange(
  'allocations.close',
  'close',
  'End an allocation early and give back what is left (owner or secretariat)',
);
export const suspendAllocation = stateChange(
  'allocations.suspend',
  'suspend',
  'Stop an allocation for now (secretariat)',
);
export const resumeAllocation = stateChange(
  'allocations.resume',
  'resume',
  'Let a suspended allocation go on (secretariat)',
);
