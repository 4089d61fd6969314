import { z } from 'zod';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, shortText } from './endpoint.js';
import { policyRuleSchema } from './policy.js';
import { scopeSchema } from './roles.js';
import {
  lifecycleEventSchema,
  modelPattern,
  modelPatterns,
  scopeList,
  unitAmountSchema,
  unitAmounts,
} from './units.js';

/** Applications for access, their reviews and decisions, and the rules that votes adopted for them. */

/** Applications a person may have open at once: a limit against floods, not against work. */
export const openApplicationsAtMost = 50;

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

const applicationForm = {
  title: shortText,
  purpose: longText.min(1).describe('What is to be found out, and why with these models'),
  coApplicantIds: z.array(idText('per')).max(50).describe('People who will use the allocation too'),
  models: modelPatterns,
  scopes: scopeList,
  requested: unitAmounts,
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
    granted: unitAmounts.optional(),
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
