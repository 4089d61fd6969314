import { z } from 'zod';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, shortText } from './endpoint.js';
import { anyGpuType, gpuSeconds, gpuTypeText } from './governance.js';
import { type PolicyRule, policyRuleSchema } from './policy.js';
import { suiteDesignSchema } from './suite.js';

/** Proposals: suites, policies and motions, their versions, comments and what a suite would cost and answer. */
export const proposalKinds = ['suite', 'policy', 'motion'] as const;
export const proposalKindSchema = z.enum(proposalKinds);
export const proposalStateSchema = z.enum(['open', 'withdrawn', 'adopted', 'rejected']);

/** What is proposed, by kind. */
export const proposalBodySchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('suite'), design: suiteDesignSchema }),
    z.object({
      kind: z.literal('policy'),
      rule: policyRuleSchema,
      replaces: z
        .array(idText('pol'))
        .max(50)
        .default([])
        .describe('Policies that end when this one is adopted'),
    }),
    z.object({ kind: z.literal('motion'), text: longText.min(1) }),
  ])
  .meta({ id: 'ProposalBody' });
export type ProposalBody = z.output<typeof proposalBodySchema>;

/** What the proposers of a suite and its voters see at once. */
export const suiteAnalysisSchema = z
  .object({
    models: z.number().int(),
    gpuType: gpuTypeText,
    gpuSeconds,
    gpuHours: z.number(),
    trainingFlops: z.number().describe('6 · parameters · tokens, over all models'),
    checkpoints: z.number().int().describe('Over all models'),
    checkpointBytes: z.number(),
    utilisation: z.object({
      value: z.number(),
      source: z.enum(['assumed', 'measured']).describe('measured: from finished runs on this GPU type'),
    }),
    sizes: z.array(z.object({ name: z.string(), parameters: z.number() })),
    questions: z
      .array(z.object({ factor: z.string(), pairs: z.number().int(), example: z.string() }))
      .describe('Pairs of models that differ in exactly one factor: what the suite can answer'),
    confounded: z
      .array(z.object({ factors: z.array(z.string()), why: z.string() }))
      .describe('Factors that cannot be told apart'),
    landscape: z
      .array(
        z.object({
          language: z.string(),
          family: z.string(),
          parameters: z.string().describe('Decade of the parameter count, for example 10M–100M'),
          existing: z.number().int().describe('Models of the catalogue'),
          added: z.number().int().describe('Models of this suite'),
          fillsHole: z.boolean(),
        }),
      )
      .describe('The catalogue by language × size × architecture, where this suite adds to it'),
  })
  .meta({ id: 'SuiteAnalysis' });
export type SuiteAnalysis = z.output<typeof suiteAnalysisSchema>;

export const proposalSchema = z
  .object({
    proposalId: idText('prp'),
    roundId: idText('rnd'),
    kind: proposalKindSchema,
    state: proposalStateSchema,
    labId: idText('lab'),
    proposedBy: z.string(),
    title: z.string(),
    version: z.number().int().min(1),
    body: proposalBodySchema,
    suiteId: idText('sui').nullable().describe('The id that the suite has if it is adopted'),
    policyId: idText('pol').nullable().describe('The id that the policy has if it is adopted'),
    gpuType: gpuTypeText.nullable(),
    gpuSeconds: gpuSeconds.nullable().describe('Estimated cost of a suite'),
    exclusiveGroup: z.string().nullable().describe('At most one proposal of such a group can win'),
    flagship: z.boolean(),
    createdAt: isoTime,
    amendedAt: isoTime.nullable(),
  })
  .meta({ id: 'Proposal' });
export type ProposalView = z.output<typeof proposalSchema>;

const roundParams = z.object({ roundId: idText('rnd') });
const proposalParams = z.object({ proposalId: idText('prp') });
const deliberationIsPublic = { kind: 'public', why: 'the consortium deliberates in public' } as const;
const member = { kind: 'person' } as const;
const exclusiveGroupText = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,59}$/)
  .describe('Name shared by variants of which at most one can win, for example `spanish-suite`');

export const createProposal = endpoint({
  id: 'proposals.create',
  method: 'POST',
  path: '/rounds/:roundId/proposals',
  access: member,
  summary: 'Propose a suite, a policy or a motion for your lab',
  description:
    'The cost of a suite is estimated at once; one that no budget of the round could pay is refused with governance.over-budget.',
  params: roundParams,
  body: z.object({
    labId: idText('lab'),
    title: shortText.optional().describe("The design's title, if absent"),
    body: proposalBodySchema,
    exclusiveGroup: exclusiveGroupText.optional(),
    flagship: z.boolean().default(false).describe('Stand as flagship, where the charter decides one first'),
  }),
  response: proposalSchema,
  status: 201,
  errors: [
    'governance.round-not-open',
    'governance.over-budget',
    'governance.invalid-suite',
    'governance.invalid-proposal',
    'governance.unknown-gpu-type',
  ],
});

export const listProposals = endpoint({
  id: 'proposals.list',
  method: 'GET',
  path: '/rounds/:roundId/proposals',
  access: deliberationIsPublic,
  summary: 'The proposals of a round, in order of submission',
  params: roundParams,
  query: pageQuery,
  response: pageOf(proposalSchema),
  errors: ['resource.not-found'],
});

export const getProposal = endpoint({
  id: 'proposals.get',
  method: 'GET',
  path: '/proposals/:proposalId',
  access: deliberationIsPublic,
  summary: 'One proposal in its newest version',
  params: proposalParams,
  response: proposalSchema,
  errors: ['resource.not-found'],
});

export const analyseProposal = endpoint({
  id: 'proposals.analyse',
  method: 'GET',
  path: '/proposals/:proposalId/analysis',
  access: deliberationIsPublic,
  summary: 'What a proposed suite costs, what it could answer, what it confounds and which holes it fills',
  params: proposalParams,
  response: suiteAnalysisSchema,
  errors: ['resource.not-found', 'governance.invalid-suite'],
});

export const estimateSuite = endpoint({
  id: 'proposals.estimate',
  method: 'POST',
  path: '/suite-estimates',
  access: member,
  summary: 'The same for a design that nobody has proposed yet; nothing is stored',
  body: z.object({ design: suiteDesignSchema }),
  response: suiteAnalysisSchema,
  errors: ['governance.invalid-suite'],
});

export const amendProposal = endpoint({
  id: 'proposals.amend',
  method: 'POST',
  path: '/proposals/:proposalId/versions',
  access: member,
  summary: 'Amend a proposal before the vote; older versions stay visible',
  description: 'For the proposer and the delegates of the proposing lab.',
  params: proposalParams,
  body: z.object({
    title: shortText.optional(),
    body: proposalBodySchema,
    exclusiveGroup: exclusiveGroupText.nullable().optional(),
    flagship: z.boolean().optional(),
    note: shortText.describe('What was changed and why'),
    basedOnVersion: z
      .number()
      .int()
      .min(1)
      .optional()
      .describe('Refused with state.conflict when somebody has amended it since'),
  }),
  response: proposalSchema,
  errors: [
    'governance.round-not-open',
    'governance.over-budget',
    'governance.invalid-suite',
    'state.conflict',
  ],
});

export const proposalVersionSchema = z.object({
  version: z.number().int(),
  title: z.string(),
  body: proposalBodySchema,
  gpuSeconds: gpuSeconds.nullable(),
  note: z.string(),
  by: z.string(),
  at: isoTime,
});

export const listProposalVersions = endpoint({
  id: 'proposals.versions',
  method: 'GET',
  path: '/proposals/:proposalId/versions',
  access: deliberationIsPublic,
  summary: 'Every version of a proposal, the oldest first',
  params: proposalParams,
  response: z.object({ versions: z.array(proposalVersionSchema) }),
  errors: ['resource.not-found'],
});

export const withdrawProposal = endpoint({
  id: 'proposals.withdraw',
  method: 'POST',
  path: '/proposals/:proposalId/withdraw',
  access: member,
  summary: 'Withdraw a proposal before the vote',
  params: proposalParams,
  body: z.object({ reason: shortText }),
  response: proposalSchema,
  errors: ['governance.round-not-open', 'resource.not-found'],
});

export const commentSchema = z.object({
  commentId: z.number().int(),
  proposalId: idText('prp'),
  version: z.number().int().describe('The version that was commented on'),
  by: z.string(),
  labId: idText('lab').nullable(),
  text: z.string(),
  inReplyTo: z.number().int().nullable(),
  at: isoTime,
});

export const commentOnProposal = endpoint({
  id: 'proposals.comment',
  method: 'POST',
  path: '/proposals/:proposalId/comments',
  access: member,
  summary: 'Comment on a proposal until the vote opens',
  params: proposalParams,
  body: z.object({ text: longText.min(1), inReplyTo: z.number().int().optional() }),
  response: commentSchema,
  status: 201,
  errors: ['governance.round-not-open', 'resource.not-found', 'limit.exceeded'],
});

export const listComments = endpoint({
  id: 'proposals.comments',
  method: 'GET',
  path: '/proposals/:proposalId/comments',
  access: member,
  summary: 'The discussion of a proposal, the oldest comment first',
  params: proposalParams,
  response: z.object({ comments: z.array(commentSchema) }),
  errors: ['resource.not-found'],
});

export const adoptedSuiteSchema = z
  .object({
    suiteId: idText('sui'),
    roundId: idText('rnd'),
    proposalId: idText('prp'),
    labId: idText('lab'),
    title: z.string(),
    gpuType: gpuTypeText.default(anyGpuType),
    gpuSeconds,
    state: z.enum(['reserved', 'released']),
    design: suiteDesignSchema,
    adoptedAt: isoTime,
    releasedAt: isoTime.nullable(),
  })
  .meta({ id: 'AdoptedSuite' });

export const listAdoptedSuites = endpoint({
  id: 'adopted-suites.list',
  method: 'GET',
  path: '/adopted-suites',
  access: deliberationIsPublic,
  summary: 'Suites that a round adopted and what it reserved for them',
  query: pageQuery.extend({ roundId: idText('rnd').optional() }),
  response: pageOf(adoptedSuiteSchema),
});

export const releaseSuite = endpoint({
  id: 'adopted-suites.release',
  method: 'POST',
  path: '/adopted-suites/:suiteId/release',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Return what an adopted suite has not spent of its reservation',
  description: 'Once; releasing it again changes nothing.',
  params: z.object({ suiteId: idText('sui') }),
  body: z.object({ reason: shortText }),
  response: adoptedSuiteSchema,
  errors: ['resource.not-found'],
});

export const policySchema = z
  .object({
    policyId: idText('pol'),
    roundId: idText('rnd'),
    proposalId: idText('prp'),
    title: z.string(),
    rule: policyRuleSchema,
    state: z.enum(['in-force', 'replaced']),
    adoptedAt: isoTime,
    endedAt: isoTime.nullable(),
  })
  .meta({ id: 'Policy' });
export type { PolicyRule };

export const listPolicies = endpoint({
  id: 'policies.list',
  method: 'GET',
  path: '/policies',
  access: { kind: 'public', why: 'who is bound by a rule may read it' },
  summary: 'Policies that the consortium adopted, the newest first',
  query: z.object({ inForce: z.stringbool().default(true).describe('Only those in force') }),
  response: z.object({ policies: z.array(policySchema) }),
});

export const getPolicy = endpoint({
  id: 'policies.get',
  method: 'GET',
  path: '/policies/:policyId',
  access: { kind: 'public', why: 'who is bound by a rule may read it' },
  summary: 'One policy',
  params: z.object({ policyId: idText('pol') }),
  response: policySchema,
  errors: ['resource.not-found'],
});
