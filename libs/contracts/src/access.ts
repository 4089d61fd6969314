import { units } from '@beamtime/kernel';
import { z } from 'zod';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, shortText } from './endpoint.js';
import { policyRuleSchema } from './policy.js';
import { scopeSchema } from './roles.js';

/** Applications for access, allocations and their use, and the books. */

/** Of one unit in one step; far below 2^53, so that sums stay exact in every language. */
export const unitsAtMost = 100_000_000_000_000;
const unitSchema = z.enum(units).describe('What is counted');
const amount = z.number().int().min(1).max(unitsAtMost).describe('A whole number of units');
const sum = z.number().int().describe('A whole number of units');
/** Applications a person may have open at once: a limit against floods, not against work. */
export const openApplicationsAtMost = 50;

export const unitAmountSchema = z.object({ unit: unitSchema, amount });
export type UnitAmount = z.output<typeof unitAmountSchema>;
const requestedUnits = z
  .array(unitAmountSchema)
  .min(1)
  .max(units.length)
  .refine((list) => new Set(list.map((one) => one.unit)).size === list.length, 'name each unit once')
  .describe('What is asked for, each unit once');

const modelPattern = z
  .union([z.literal('*'), idText('sui'), idText('mdl')])
  .describe('`*` for every model, a suite id for its models, or a model id');
const modelPatterns = z.array(modelPattern).min(1).max(200);
const scopeList = z
  .array(scopeSchema)
  .min(1)
  .refine((list) => new Set(list).size === list.length, 'name each scope once');

export const applicationStateSchema = z.enum([
  'draft',
  'submitted',
  'in-review',
  'recommended',
  'awarded',
  'rejected',
  'accepted',
  'withdrawn',
]);
export const allocationStateSchema = z.enum(['active', 'suspended', 'expired', 'closed']);

// --- applications -------------------------------------------------------------------------------------------------

const applicationForm = {
  title: shortText,
  purpose: longText.min(1).describe('What is to be found out, and why with these models'),
  coApplicantIds: z.array(idText('per')).max(50).describe('People who will use the allocation too'),
  models: modelPatterns,
  scopes: scopeList,
  requested: requestedUnits,
  startsAt: isoTime,
  endsAt: isoTime,
};

export const decisionSchema = z.object({
  outcome: z.enum(['award', 'reject']),
  reason: z.string(),
  decidedBy: idText('per'),
  decidedAt: isoTime,
  granted: z.array(unitAmountSchema).describe('Empty with reject'),
  scopes: z.array(scopeSchema),
  models: z.array(modelPattern),
  startsAt: isoTime,
  endsAt: isoTime,
});
export type Decision = z.output<typeof decisionSchema>;

export const applicationSchema = z
  .object({
    applicationId: idText('app'),
    labId: idText('lab'),
    applicantId: idText('per'),
    coApplicantIds: z.array(idText('per')),
    title: z.string(),
    purpose: z.string(),
    models: z.array(modelPattern),
    scopes: z.array(scopeSchema),
    requested: z.array(unitAmountSchema),
    startsAt: isoTime,
    endsAt: isoTime,
    tier: z.enum(['small', 'large']).describe('A small application needs no panel'),
    state: applicationStateSchema,
    decision: decisionSchema.nullable(),
    allocationId: idText('alc').nullable(),
    createdAt: isoTime,
    updatedAt: isoTime,
  })
  .meta({ id: 'Application' });
export type ApplicationWire = z.input<typeof applicationSchema>;

export const reviewSchema = z
  .object({
    reviewId: idText('rev'),
    reviewerId: idText('per').nullable().describe('Null for the applicant, who does not learn who reviewed'),
    labId: idText('lab').nullable(),
    assignedAt: isoTime,
    outcome: z.enum(['award', 'reject']).nullable().describe('Null until the reviewer recommends'),
    score: z.number().int().min(1).max(5).nullable().describe('1 poor, 5 excellent'),
    text: z.string().nullable(),
    recommendedAt: isoTime.nullable(),
  })
  .meta({ id: 'Review' });

export const lifecycleEventSchema = z.object({
  action: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  actor: z.string().nullable().describe('Null where the caller may not learn who it was'),
  reason: z.string().nullable(),
  at: isoTime,
});

export const applicationDetailsSchema = applicationSchema.extend({
  mayI: z
    .enum(['applicant', 'co-applicant', 'secretariat', 'reviewer', 'auditor'])
    .describe('How the caller stands to it'),
  reviews: z.array(reviewSchema).describe('For the applicant only once it is decided, without names'),
  events: z.array(lifecycleEventSchema),
});

const applicationParams = z.object({ applicationId: idText('app') });
const conflictErrors = ['resource.not-found', 'auth.forbidden', 'access.conflict-of-interest'] as const;
const transitionErrors = [...conflictErrors, 'state.illegal-transition'] as const;
const reasonBody = z.object({ reason: shortText.max(2_000).optional() });

export const createApplication = endpoint({
  id: 'applications.create',
  method: 'POST',
  path: '/applications',
  access: { kind: 'person', roles: ['researcher', 'delegate', 'deputy'] },
  summary: 'Apply for access to models',
  description:
    'As a draft, or at once submitted. The scopes are granted apart: outputs, internals:read, internals:write, gradients.',
  body: z
    .object({
      ...applicationForm,
      labId: idText('lab').optional().describe('In whose name; needed by those who belong to several labs'),
      coApplicantIds: applicationForm.coApplicantIds.default([]),
      startsAt: isoTime.optional().describe('Now, unless said'),
      submit: z.boolean().default(true).describe('False keeps it a draft'),
    })
    .refine((form) => Date.parse(form.endsAt) > (form.startsAt ? Date.parse(form.startsAt) : 0), {
      path: ['endsAt'],
      message: 'the end comes after the start',
    }),
  response: applicationSchema,
  status: 201,
  errors: ['auth.forbidden', 'resource.not-found', 'limit.exceeded', 'request.invalid'],
});

export const listApplications = endpoint({
  id: 'applications.list',
  method: 'GET',
  path: '/applications',
  access: { kind: 'person' },
  summary: 'Applications: my own, those I may review, or all',
  query: pageQuery.extend({
    scope: z
      .enum(['mine', 'review', 'all'])
      .default('mine')
      .describe('`review`: open ones that I may review; `all`: for the secretariat and auditors'),
    state: applicationStateSchema.optional(),
  }),
  response: pageOf(applicationSchema),
  errors: ['auth.forbidden'],
});

export const showApplication = endpoint({
  id: 'applications.show',
  method: 'GET',
  path: '/applications/:applicationId',
  access: { kind: 'person' },
  summary: 'One application with its reviews and its history',
  params: applicationParams,
  response: applicationDetailsSchema,
  errors: conflictErrors,
});

export const changeApplication = endpoint({
  id: 'applications.change',
  method: 'PATCH',
  path: '/applications/:applicationId',
  access: { kind: 'person' },
  summary: 'Change a draft',
  params: applicationParams,
  body: z.object(applicationForm).partial(),
  response: applicationSchema,
  errors: [...transitionErrors, 'request.invalid'],
});

export const submitApplication = endpoint({
  id: 'applications.submit',
  method: 'POST',
  path: '/applications/:applicationId/submit',
  access: { kind: 'person' },
  summary: 'Submit a draft, or appeal against a rejection',
  params: applicationParams,
  body: reasonBody,
  response: applicationSchema,
  errors: transitionErrors,
});

export const withdrawApplication = endpoint({
  id: 'applications.withdraw',
  method: 'POST',
  path: '/applications/:applicationId/withdraw',
  access: { kind: 'person' },
  summary: 'Withdraw my application, or decline its award',
  params: applicationParams,
  body: reasonBody,
  response: applicationSchema,
  errors: transitionErrors,
});

export const takeReview = endpoint({
  id: 'applications.reviews.take',
  method: 'POST',
  path: '/applications/:applicationId/reviews',
  access: { kind: 'person', roles: ['reviewer', 'secretariat'] },
  summary: 'Take on the review of an application, or give it to a reviewer',
  description:
    'A reviewer of another lab takes it on; the secretariat names one with `reviewerId`. Whoever has a conflict of interest gets 403.',
  params: applicationParams,
  body: z.object({ reviewerId: idText('per').optional().describe('Only for the secretariat') }),
  response: reviewSchema,
  status: 201,
  errors: [...transitionErrors, 'resource.exists'],
});

export const recommendApplication = endpoint({
  id: 'applications.recommend',
  method: 'POST',
  path: '/applications/:applicationId/recommendation',
  access: { kind: 'person', roles: ['reviewer'] },
  summary: 'Recommend to award or to reject, with a score and reasons',
  params: applicationParams,
  body: z.object({
    outcome: z.enum(['award', 'reject']),
    score: z.number().int().min(1).max(5).describe('1 poor, 5 excellent'),
    text: longText.min(1),
  }),
  response: reviewSchema,
  errors: [...transitionErrors, 'state.conflict'],
});

export const declareConflict = endpoint({
  id: 'applications.declare-conflict',
  method: 'POST',
  path: '/applications/:applicationId/conflicts',
  access: { kind: 'person', roles: ['reviewer', 'secretariat'] },
  summary: 'Declare a conflict of interest; from then on the application is closed to me',
  params: applicationParams,
  body: z.object({ reason: shortText.max(2_000) }),
  response: z.object({ applicationId: idText('app'), declared: z.literal(true) }),
  errors: conflictErrors,
});

export const decideApplication = endpoint({
  id: 'applications.decide',
  method: 'POST',
  path: '/applications/:applicationId/decision',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Award all or part of what was applied for, or reject',
  description:
    'A large application needs a recommendation to award; a policy may ask for more, from several labs. What is left out is granted as requested.',
  params: applicationParams,
  body: z.object({
    outcome: z.enum(['award', 'reject']),
    reason: shortText.max(4_000),
    granted: requestedUnits.optional(),
    scopes: scopeList.optional(),
    models: modelPatterns.optional(),
    endsAt: isoTime.optional(),
  }),
  response: applicationSchema,
  errors: [...transitionErrors, 'access.review-missing', 'access.policy-denied', 'limit.exceeded'],
});

export const acceptAward = endpoint({
  id: 'applications.accept',
  method: 'POST',
  path: '/applications/:applicationId/accept',
  access: { kind: 'person' },
  summary: 'Accept the award: the allocation begins',
  params: applicationParams,
  response: z.object({ applicationId: idText('app'), allocationId: idText('alc') }),
  errors: [...transitionErrors, 'access.insufficient-units'],
});

// --- allocations --------------------------------------------------------------------------------------------------

export const unitBalanceSchema = z.object({
  unit: unitSchema,
  granted: sum.describe('All that was ever granted'),
  available: sum.describe('What a request could hold now'),
  held: sum.describe('Set aside by requests that run'),
  used: sum,
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
    held: sum,
    used: sum.nullable().describe('Null while the request runs'),
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
      z.object({ unit: unitSchema, requests: z.number().int(), held: sum, used: sum, returned: sum }),
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
      supplement: requestedUnits.optional(),
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
  response: z.object({ unit: unitSchema, limit: sum.nullable(), held: sum, used: sum, available: sum }),
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

// --- policies -----------------------------------------------------------------------------------------------------

export const listPoliciesInForce = endpoint({
  id: 'access.policies',
  method: 'GET',
  path: '/access/policies',
  access: { kind: 'public', why: 'the consortium publishes the rules that bind access' },
  summary: 'The policies that bind access now, as adopted by vote',
  response: z.object({
    items: z.array(
      z.object({
        policyId: idText('pol'),
        roundId: idText('rnd'),
        rule: policyRuleSchema,
        adoptedAt: isoTime,
      }),
    ),
  }),
});

// --- books --------------------------------------------------------------------------------------------------------

const booksArePublic = {
  kind: 'public',
  why: 'the consortium publishes its books; they carry ids and sums, no personal data',
} as const;

export const checkBooks = endpoint({
  id: 'books.check',
  method: 'GET',
  path: '/books/check',
  access: booksArePublic,
  summary: 'Check the ledger: balanced, never overdrawn, every balance what the journal says',
  response: z.object({
    ok: z.boolean(),
    checks: z.array(
      z.object({
        name: z.string(),
        says: z.string(),
        violations: z.number().int(),
        example: z.string().nullable(),
      }),
    ),
    totals: z.array(
      z.object({
        unit: unitSchema,
        issued: sum.describe('Came in, less what lapsed: always available + held + used'),
        available: sum,
        held: sum,
        used: sum,
        entries: z.number().int(),
      }),
    ),
  }),
});

export const accountSchema = z.object({
  unit: unitSchema,
  owner: z
    .string()
    .describe('`consortium`, `operations`, `lab:…`, `round:…`, `suite:…`, `allocation:…`, `person:…`'),
  kind: z.enum(['issuer', 'usage', 'fund', 'share']),
  parent: z.string().nullable(),
  balance: sum.nullable().describe('Settled: received less used and passed on; holds are not taken off'),
  held: sum,
  used: sum,
  available: sum.nullable(),
  limit: sum.nullable(),
  opensAt: isoTime.nullable(),
  closesAt: isoTime.nullable(),
  grants: z.array(
    z.object({
      grantId: z.string(),
      balance: sum,
      held: sum,
      startsAt: isoTime.nullable(),
      expiresAt: isoTime.nullable(),
    }),
  ),
});

export const listAccounts = endpoint({
  id: 'books.accounts',
  method: 'GET',
  path: '/books/accounts',
  access: { kind: 'person', roles: ['secretariat', 'auditor', 'delegate', 'deputy'] },
  summary: 'The accounts at and below an owner',
  query: z.object({ below: z.string().max(200).default('consortium') }),
  response: z.object({ items: z.array(accountSchema) }),
});

export const journalLineSchema = z.object({
  seq: z.number().int(),
  id: z.string(),
  kind: z.enum(['transfer', 'hold', 'post', 'void', 'expire', 'lapse']),
  unit: unitSchema,
  debit: z.string(),
  credit: z.string(),
  account: z.string(),
  amount: sum,
  holdId: z.string().nullable(),
  reference: z.string(),
  actor: z.string(),
  expiresAt: isoTime.nullable(),
  at: isoTime,
});

export const listJournal = endpoint({
  id: 'books.journal',
  method: 'GET',
  path: '/books/journal',
  access: { kind: 'person', roles: ['secretariat', 'auditor'] },
  summary: 'The journal of the ledger, oldest first',
  query: z.object({
    unit: unitSchema.optional(),
    account: z.string().max(200).optional(),
    reference: z.string().max(200).optional(),
    afterSeq: z.coerce.number().int().min(0).default(0),
    limit: z.coerce.number().int().min(1).max(1_000).default(200),
  }),
  response: z.object({ items: z.array(journalLineSchema) }),
});

const gpuSums = { held: sum, used: sum, returned: sum, stillHeld: sum };
export const gpuSecondsReport = endpoint({
  id: 'books.gpu-seconds',
  method: 'GET',
  path: '/books/gpu-seconds',
  access: booksArePublic,
  summary: 'Where the GPU-seconds of the rounds went: held = used + returned + stillHeld',
  response: z.object({
    rounds: z.array(
      z.object({ round: z.string(), funded: sum, reserved: sum, toOperations: sum, left: sum }),
    ),
    accounts: z.array(
      z.object({
        account: z.string(),
        round: z.string().nullable(),
        received: sum,
        passedOn: sum,
        ...gpuSums,
        jobs: z.number().int(),
        balance: sum,
      }),
    ),
    total: z.object(gpuSums),
  }),
});

export const lendToOperations = endpoint({
  id: 'books.lend',
  method: 'POST',
  path: '/books/operations',
  access: { kind: 'person', roles: ['secretariat', 'delegate'] },
  summary: 'Lend GPU-seconds of a lab for serving and evaluating, outside any round',
  body: z.object({
    loanId: z
      .string()
      .regex(/^[A-Za-z0-9_-]{8,80}$/)
      .describe('Made by the client: the same loan sent again is booked once'),
    labId: idText('lab'),
    gpuSeconds: amount,
    reason: shortText,
  }),
  response: z.object({ available: sum.describe('In the operations account now') }),
  errors: ['auth.forbidden', 'access.id-reused'],
});
