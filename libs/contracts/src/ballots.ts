import { z } from 'zod';
import { endpoint, idText, isoTime, pageOf, pageQuery, sha256Text } from './endpoint.js';
import { gpuSeconds, gpuTypeText, roundRuleSchema } from './governance.js';
import { proposalKindSchema } from './proposals.js';

/** Ballots, the roll, and what a count publishes. */
const proposalId = idText('prp');
/** The default option of a single-winner vote: none of the proposals. */
export const noneOfThese = 'none';
export const optionId = z.union([proposalId, z.literal(noneOfThese)]).describe('A proposal, or `none`');

/** No round has more proposals than a page that a person reads. */
export const proposalsAtMost = 500;
const yesNo = z.enum(['yes', 'no', 'abstain']);
const flagshipVotes = z
  .record(proposalId, yesNo)
  .optional()
  .describe('Where the charter decides a flagship first: a vote on each candidate');

export const ballotContentSchema = z
  .discriminatedUnion('kind', [
    z.object({
      kind: z.literal('approval'),
      approve: z.array(proposalId).max(proposalsAtMost),
      flagship: flagshipVotes,
    }),
    z.object({
      kind: z.literal('points'),
      points: z.record(proposalId, z.number().int().nonnegative().max(1_000_000)),
      flagship: flagshipVotes,
    }),
    z.object({
      kind: z.literal('ranking'),
      ranking: z
        .array(z.array(optionId).min(1).max(proposalsAtMost))
        .max(proposalsAtMost)
        .describe('Best first; options in one list are equal; what is left out comes last, below `none`'),
    }),
    z.object({ kind: z.literal('yes-no'), votes: z.record(proposalId, yesNo) }),
  ])
  .meta({ id: 'BallotContent' });
export type BallotContent = z.output<typeof ballotContentSchema>;

export const delegateLinkSchema = z.object({
  from: z.string().describe('Who gave the vote into other hands'),
  to: z.string(),
  as: z.enum(['delegate', 'deputy', 'named-deputy', 'member']),
});

export const ballotSchema = z
  .object({
    ballotId: idText('blt'),
    roundId: idText('rnd'),
    voterId: z.string().describe('A lab, or with voters = members a person'),
    labId: idText('lab'),
    castBy: idText('per'),
    chain: z.array(delegateLinkSchema).describe('From the voter to whoever cast the ballot'),
    assurance: z.enum(['local', 'oidc']).describe('How that person had logged in'),
    content: ballotContentSchema,
    revision: z.number().int().min(1).describe('1 for a first ballot; each change adds one'),
    castAt: isoTime,
  })
  .meta({ id: 'Ballot' });
export type BallotView = z.output<typeof ballotSchema>;

const roundParams = z.object({ roundId: idText('rnd') });
const anyoneMayRecount = { kind: 'public', why: 'anyone may recount a vote once it is closed' } as const;

export const castBallot = endpoint({
  id: 'ballots.cast',
  method: 'PUT',
  path: '/rounds/:roundId/ballot',
  access: { kind: 'person' },
  summary: 'Cast a ballot, or change the one that the voter has cast',
  description:
    'One ballot per voter: a later one takes the place of the earlier until the close. It is secret until then, and public afterwards.',
  params: roundParams,
  body: z.object({
    voterId: z
      .union([idText('lab'), idText('per')])
      .optional()
      .describe('For whom you vote; may be left out when there is only one possibility'),
    content: ballotContentSchema,
  }),
  response: z.object({
    ballot: ballotSchema,
    replaced: z.boolean().describe('Whether it took the place of an earlier ballot of this voter'),
    message: z.string(),
  }),
  errors: [
    'governance.round-not-open',
    'governance.not-on-roll',
    'governance.in-arrears',
    'governance.invalid-ballot',
  ],
});

export const getMyBallots = endpoint({
  id: 'ballots.mine',
  method: 'GET',
  path: '/rounds/:roundId/ballot',
  access: { kind: 'person' },
  summary: 'The ballots that you may cast in this round, with what is in the box for them now',
  params: roundParams,
  response: z.object({
    votes: z.array(z.object({ voterId: z.string(), label: z.string(), ballot: ballotSchema.nullable() })),
  }),
  errors: ['resource.not-found'],
});

export const listBallots = endpoint({
  id: 'ballots.list',
  method: 'GET',
  path: '/rounds/:roundId/ballots',
  access: anyoneMayRecount,
  summary: 'All ballots, once the vote has closed',
  params: roundParams,
  query: pageQuery,
  response: pageOf(ballotSchema).extend({ total: z.number().int() }),
  errors: ['resource.not-found', 'governance.ballots-secret'],
});

export const rollEntrySchema = z.object({
  voterId: z.string(),
  labId: idText('lab'),
  label: z.string(),
  weight: z.string().describe('An exact number as text: 1, 40, 7/3'),
  contribution: z
    .number()
    .int()
    .describe("GPU-seconds that the lab pledged; in a round without pledges, the lab's contribution weight"),
  inArrears: z.boolean(),
});

export const getRoll = endpoint({
  id: 'rounds.roll',
  method: 'GET',
  path: '/rounds/:roundId/roll',
  access: anyoneMayRecount,
  summary: 'Who may vote, with which weight, as frozen when the vote opened',
  params: roundParams,
  response: z.object({ roll: z.array(rollEntrySchema) }),
  errors: ['resource.not-found', 'governance.round-not-open'],
});

export const nameDeputy = endpoint({
  id: 'deputies.name',
  method: 'PUT',
  path: '/rounds/:roundId/deputy',
  access: { kind: 'person' },
  summary: 'Let somebody else cast your vote, or that of the lab whose delegate you are',
  description: 'Before or while the vote is open. Naming another person takes it from the one before.',
  params: roundParams,
  body: z.object({ voterId: z.union([idText('lab'), idText('per')]), deputyId: idText('per') }),
  response: z.object({ voterId: z.string(), deputyId: idText('per'), namedBy: idText('per'), at: isoTime }),
  errors: ['governance.round-not-open', 'governance.not-on-roll', 'governance.deputies-not-allowed'],
});

export const dismissDeputy = endpoint({
  id: 'deputies.dismiss',
  method: 'DELETE',
  path: '/rounds/:roundId/deputy/:voterId',
  access: { kind: 'person' },
  summary: 'Take the vote back from a named deputy; a ballot already cast stands until it is changed',
  params: roundParams.extend({ voterId: z.union([idText('lab'), idText('per')]) }),
  response: z.object({ voterId: z.string(), dismissed: z.boolean() }),
  errors: ['governance.round-not-open', 'governance.not-on-roll'],
});

export const roundResultSchema = z
  .object({
    roundId: idText('rnd'),
    title: z.string(),
    decidedAt: isoTime,
    rule: roundRuleSchema,
    outcome: z.enum(['adopted', 'nothing-adopted', 'no-quorum', 'no-ballots']),
    summary: z.string().describe('The outcome in a sentence'),
    turnout: z.object({
      ballots: z.number().int(),
      onRoll: z.number().int(),
      quorumBallots: z.number().int(),
      quorumMet: z.boolean(),
    }),
    budgets: z.array(z.object({ gpuType: gpuTypeText, gpuSeconds, spentGpuSeconds: gpuSeconds })),
    winners: z.array(
      z.object({
        proposalId,
        kind: proposalKindSchema,
        title: z.string(),
        labId: idText('lab'),
        suiteId: idText('sui').nullable(),
        policyId: idText('pol').nullable(),
        gpuType: gpuTypeText.nullable(),
        gpuSeconds: gpuSeconds.nullable(),
        order: z.number().int().describe('1 for what was bought first'),
        how: z.enum(['flagship', 'rule']),
        reason: z.string(),
      }),
    ),
    losers: z.array(
      z.object({ proposalId, kind: proposalKindSchema, title: z.string(), reason: z.string() }),
    ),
    ties: z.array(z.object({ tied: z.array(z.string()), chosen: z.string(), by: z.string() })),
    alternatives: z
      .array(z.object({ rule: z.string(), winners: z.array(z.string()) }))
      .describe('What would have won under the other rules'),
    seed: z.string().describe('Breaks ties; its SHA-256 was published when the vote opened'),
    seedCommitment: sha256Text,
    frozenSha256: sha256Text,
    certificateSha256: sha256Text.nullable(),
  })
  .meta({ id: 'RoundResult' });
export type RoundResult = z.output<typeof roundResultSchema>;

const resultErrors = ['resource.not-found', 'governance.not-decided'] as const;

export const getResult = endpoint({
  id: 'rounds.result',
  method: 'GET',
  path: '/rounds/:roundId/result',
  access: anyoneMayRecount,
  summary: 'Who got what, and why each other proposal did not',
  params: roundParams,
  response: roundResultSchema,
  errors: resultErrors,
});

export const getCertificate = endpoint({
  id: 'rounds.certificate',
  method: 'GET',
  path: '/rounds/:roundId/certificate',
  access: anyoneMayRecount,
  summary: 'The receipt of the count, which `beamtime verify` checks without running the rule',
  params: roundParams,
  response: z.unknown(),
  errors: resultErrors,
  produces: 'application/json',
});

export const getReport = endpoint({
  id: 'rounds.report',
  method: 'GET',
  path: '/rounds/:roundId/report',
  access: anyoneMayRecount,
  summary: 'The result as one self-contained page that opens from disk',
  params: roundParams,
  response: z.string(),
  errors: resultErrors,
  produces: 'text/html',
});

export const getPabulib = endpoint({
  id: 'rounds.pabulib',
  method: 'GET',
  path: '/rounds/:roundId/election.pb',
  access: anyoneMayRecount,
  summary: 'A closed vote on a budget in the format of pabulib.org, for other tools',
  params: roundParams,
  response: z.string(),
  errors: [...resultErrors, 'governance.not-a-budget-vote'],
  produces: 'text/plain',
});

export const getFrozen = endpoint({
  id: 'rounds.frozen',
  method: 'GET',
  path: '/rounds/:roundId/frozen',
  access: anyoneMayRecount,
  summary: 'What was frozen when the vote opened, as the bytes whose SHA-256 the round shows',
  params: roundParams,
  response: z.unknown(),
  errors: ['resource.not-found', 'governance.round-not-open'],
  produces: 'application/json',
});
