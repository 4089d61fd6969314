import { z } from 'zod';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, sha256Text, shortText } from './endpoint.js';
import { labRoleSchema } from './roles.js';

/** Rounds: their charter, their lifecycle, the pledges behind their budget and the roll of who may vote. */
export const roundStates = [
  'planned',
  'proposing',
  'deliberating',
  'voting',
  'counting',
  'decided',
  'cancelled',
] as const;
export const roundStateSchema = z.enum(roundStates);

/** The budget of a round that does not tell GPU types apart. */
export const anyGpuType = 'any';
export const gpuTypeText = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/)
  .describe('A kind of GPU, for example h100; `any` when the round does not tell them apart');
/** 2^53 − 1 GPU-seconds are 285 million years of one GPU. */
export const gpuSeconds = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

export const roundRuleSchema = z
  .discriminatedUnion('name', [
    z.object({
      name: z.literal('equal-shares'),
      utility: z.enum(['cost', 'cardinality']).default('cost'),
      completion: z.enum(['none', 'add1', 'add1u', 'phragmen']).default('add1u'),
    }),
    z.object({ name: z.literal('phragmen'), skip: z.boolean().default(true) }),
    z.object({
      name: z.literal('greedy'),
      utility: z
        .enum(['cost', 'cardinality'])
        .default('cost')
        .describe('cost: in order of votes; cardinality: of votes per cost'),
      skip: z.boolean().default(true),
      threshold: z.number().int().nonnegative().default(0).describe('Least number of votes'),
    }),
    z.object({
      name: z.literal('schulze'),
      quorum: z
        .number()
        .int()
        .nonnegative()
        .default(0)
        .describe('How much vote an option needs above "none of these"'),
    }),
    z.object({
      name: z.literal('double-majority'),
      quorum: z.number().int().nonnegative().default(0).describe('How many labs must vote yes or no'),
    }),
  ])
  .meta({ id: 'RoundRule' });
export type RoundRule = z.output<typeof roundRuleSchema>;

export const ballotTypeSchema = z.enum(['approval', 'points', 'ranking', 'yes-no']);

export const charterSchema = z
  .object({
    rule: roundRuleSchema.default({ name: 'equal-shares', utility: 'cost', completion: 'add1u' }),
    ballot: ballotTypeSchema
      .optional()
      .describe(
        'approval or points for a budget; ranking for schulze; yes-no for double-majority. The first that fits, if absent',
      ),
    pointsPerVoter: z.number().int().min(1).max(1_000_000).default(100),
    endowments: z
      .enum(['equal', 'contribution'])
      .default('equal')
      .describe('contribution: a vote weighs what its lab has pledged'),
    voters: z.enum(['labs', 'members']).default('labs').describe('labs: one vote each, cast by the delegate'),
    memberRoles: z
      .array(labRoleSchema)
      .min(1)
      .default(['delegate', 'deputy', 'reviewer', 'operator', 'researcher'])
      .describe('With voters = members: who of a lab may vote'),
    deputies: z.boolean().default(true).describe('Whether a voter may name a deputy'),
    quorumBallots: z
      .number()
      .int()
      .nonnegative()
      .default(0)
      .describe('With fewer ballots nothing is adopted'),
    deliberation: z.boolean().default(true).describe('Whether proposals are deliberated before the vote'),
    gpuTypes: z.array(gpuTypeText).min(1).max(16).default([anyGpuType]).describe('One budget for each'),
    flagship: z
      .boolean()
      .default(false)
      .describe('Decide one flagship by double majority first, then share out the rest'),
    schedule: z
      .object({
        openProposalsAt: isoTime.optional(),
        deliberateAt: isoTime.optional(),
        openVoteAt: isoTime.optional(),
        closeAt: isoTime.optional(),
      })
      .default({})
      .describe('The round moves on by itself at these times; a person may do it earlier'),
  })
  .meta({ id: 'Charter' });
export type Charter = z.output<typeof charterSchema>;
export type CharterInput = z.input<typeof charterSchema>;

export const roundBudgetSchema = z.object({ gpuType: gpuTypeText, gpuSeconds });

export const roundSchema = z
  .object({
    roundId: idText('rnd'),
    title: z.string(),
    description: z.string(),
    state: roundStateSchema,
    charter: charterSchema,
    budgets: z.array(roundBudgetSchema).describe('Pledged so far; fixed from the opening of the vote on'),
    proposalCount: z.number().int(),
    createdAt: isoTime,
    createdBy: z.string(),
    frozen: z
      .object({
        at: isoTime,
        sha256: sha256Text.describe('Of the RFC 8785 JSON of everything that was frozen'),
        seedCommitment: sha256Text.describe(
          'SHA-256 of the seed that breaks ties; the seed follows with the count',
        ),
        voters: z.number().int(),
      })
      .nullable(),
    decidedAt: isoTime.nullable(),
    certificateSha256: sha256Text.nullable(),
  })
  .meta({ id: 'Round' });
export type RoundView = z.output<typeof roundSchema>;

export const roundEventSchema = z.object({
  from: roundStateSchema.nullable(),
  to: roundStateSchema,
  actor: z.string(),
  reason: z.string(),
  at: isoTime,
});

const roundParams = z.object({ roundId: idText('rnd') });
const openToAll = (why: string) => ({ kind: 'public', why }) as const;
const secretariat = { kind: 'person', roles: ['secretariat'] } as const;
const decisionsArePublic = openToAll('the consortium decides in public');

export const createRound = endpoint({
  id: 'rounds.create',
  method: 'POST',
  path: '/rounds',
  access: secretariat,
  summary: 'Plan a round',
  description: 'Labs can pledge GPU-seconds from now on; proposals are accepted once it is opened for them.',
  body: z.object({
    title: shortText,
    description: longText.default(''),
    charter: charterSchema.default(charterSchema.parse({})),
  }),
  response: roundSchema,
  status: 201,
  errors: ['governance.invalid-charter'],
});

export const listRounds = endpoint({
  id: 'rounds.list',
  method: 'GET',
  path: '/rounds',
  access: decisionsArePublic,
  summary: 'Rounds, the newest first',
  query: pageQuery.extend({ state: roundStateSchema.optional() }),
  response: pageOf(roundSchema),
});

export const getRound = endpoint({
  id: 'rounds.get',
  method: 'GET',
  path: '/rounds/:roundId',
  access: decisionsArePublic,
  summary: 'One round',
  params: roundParams,
  response: roundSchema,
  errors: ['resource.not-found'],
});

export const listRoundEvents = endpoint({
  id: 'rounds.events',
  method: 'GET',
  path: '/rounds/:roundId/events',
  access: decisionsArePublic,
  summary: 'How a round went, step by step: who moved it, when and why',
  params: roundParams,
  response: z.object({ events: z.array(roundEventSchema) }),
  errors: ['resource.not-found'],
});

export const amendCharter = endpoint({
  id: 'rounds.amend-charter',
  method: 'PUT',
  path: '/rounds/:roundId/charter',
  access: secretariat,
  summary: 'Replace the charter of a round whose vote has not opened',
  params: roundParams,
  body: z.object({ charter: charterSchema, reason: shortText }),
  response: roundSchema,
  errors: ['governance.round-not-open', 'governance.invalid-charter'],
});

const moveBody = z.object({ reason: longText.default('') }).default({ reason: '' });
const moveErrors = ['resource.not-found', 'state.illegal-transition'] as const;

export const openProposals = endpoint({
  id: 'rounds.open-proposals',
  method: 'POST',
  path: '/rounds/:roundId/open-proposals',
  access: secretariat,
  summary: 'Accept proposals',
  params: roundParams,
  body: moveBody,
  response: roundSchema,
  errors: moveErrors,
});

export const deliberateRound = endpoint({
  id: 'rounds.deliberate',
  method: 'POST',
  path: '/rounds/:roundId/deliberate',
  access: secretariat,
  summary: 'End the call for proposals and start the deliberation',
  params: roundParams,
  body: moveBody,
  response: roundSchema,
  errors: moveErrors,
});

export const openVote = endpoint({
  id: 'rounds.open-vote',
  method: 'POST',
  path: '/rounds/:roundId/open-vote',
  access: secretariat,
  summary: 'Freeze roll, weights, rule, budget and proposals, and open the vote',
  description:
    'Nothing that happens later to memberships, pledges or proposals has any effect on this round. The seed that breaks ties is drawn now; its hash is published at once, the seed with the count.',
  params: roundParams,
  body: moveBody,
  response: roundSchema,
  errors: [...moveErrors, 'governance.nothing-to-vote-on'],
});

export const closeRound = endpoint({
  id: 'rounds.close',
  method: 'POST',
  path: '/rounds/:roundId/close',
  access: secretariat,
  summary: 'Close the vote; the count follows by itself',
  params: roundParams,
  body: moveBody,
  response: roundSchema,
  errors: moveErrors,
});

export const cancelRound = endpoint({
  id: 'rounds.cancel',
  method: 'POST',
  path: '/rounds/:roundId/cancel',
  access: secretariat,
  summary: 'Cancel a round; its ballots are never published',
  params: roundParams,
  body: z.object({ reason: shortText }),
  response: roundSchema,
  errors: moveErrors,
});

export const pledgeSchema = z
  .object({
    labId: idText('lab'),
    gpuType: gpuTypeText,
    gpuSeconds,
    pledgedBy: z.string(),
    at: isoTime,
  })
  .meta({ id: 'Pledge' });

export const pledge = endpoint({
  id: 'pledges.put',
  method: 'PUT',
  path: '/rounds/:roundId/pledges',
  access: { kind: 'person', roles: ['delegate'] },
  summary: 'Pledge GPU-seconds of your lab to a round whose vote has not opened',
  description: 'Replaces what the lab had pledged of this GPU type; 0 takes it back.',
  params: roundParams,
  body: z.object({ labId: idText('lab'), gpuType: gpuTypeText.default(anyGpuType), gpuSeconds }),
  response: pledgeSchema,
  errors: ['governance.round-not-open', 'governance.unknown-gpu-type', 'auth.forbidden'],
});

export const listPledges = endpoint({
  id: 'pledges.list',
  method: 'GET',
  path: '/rounds/:roundId/pledges',
  access: decisionsArePublic,
  summary: 'What the labs have pledged to a round',
  params: roundParams,
  response: z.object({ pledges: z.array(pledgeSchema), budgets: z.array(roundBudgetSchema) }),
  errors: ['resource.not-found'],
});
