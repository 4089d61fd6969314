import { z } from 'zod';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, sha256Text, shortText } from './endpoint.js';
import { localName } from './runner-job.js';

/** Studies: one evaluation over many models and all their revisions, with its table and its figure. */

export const studyLimits = {
  models: 1_000,
  texts: 200,
  /** BLiMP has 67 sets; a job has at most 100 tasks, texts and heads among them. */
  pairSets: 98,
  /** Rows of one answer; a study may have more. */
  rowsPerPage: 20_000,
  /** Rows that a figure is drawn from and a CSV file holds. */
  rows: 2_000_000,
} as const;

const readable = {
  kind: 'public',
  why: 'what the consortium found is published; a study of private models is shown to its lab alone',
} as const;
const studyParams = z.object({ studyId: idText('stu') });

/** A registered corpus that a study reads. */
const studyMaterial = z.object({
  corpusId: idText('cor'),
  name: z.string(),
  language: z.string(),
  script: z.string(),
});

/** running: jobs are under way. incomplete: all have ended and some failed. */
export const studyStates = ['running', 'complete', 'incomplete'] as const;

export const studySchema = z
  .object({
    studyId: idText('stu'),
    title: z.string(),
    description: z.string(),
    state: z.enum(studyStates),
    labId: idText('lab').nullable(),
    createdBy: idText('per'),
    createdAt: isoTime,
    endedAt: isoTime.nullable(),
    models: z.number().int(),
    jobs: z.record(z.string(), z.number().int()).describe('How many jobs are in each state'),
    revisionsExpected: z.number().int(),
    revisionsDone: z.number().int(),
  })
  .meta({ id: 'Study' });
export type StudyView = z.output<typeof studySchema>;

export const createStudy = endpoint({
  id: 'studies.create',
  method: 'POST',
  path: '/studies',
  access: { kind: 'person', roles: ['researcher', 'delegate', 'operator', 'secretariat'] },
  summary: 'Evaluate many models over their revisions: one job per model',
  body: z
    .object({
      title: shortText,
      description: longText.default(''),
      models: z
        .array(z.string().min(1).max(200))
        .min(1)
        .max(studyLimits.models)
        .optional()
        .describe('Ids or names'),
      suiteId: idText('sui').optional().describe('All models of a suite that have weights'),
      revisions: z
        .array(localName)
        .min(1)
        .max(1_000)
        .optional()
        .describe('All when omitted; main is the last'),
      heldOut: z
        .array(idText('cor'))
        .max(studyLimits.texts)
        .default([])
        .describe('Registered corpora that were held out of training, for bits per byte'),
      minimalPairs: z
        .array(idText('cor'))
        .max(studyLimits.pairSets)
        .default([])
        .describe('Registered corpora of format pairs: how often the good sentence is the more probable'),
      headScores: z.boolean().default(true).describe('Previous-token, induction and duplicate-token scores'),
      labId: idText('lab').optional().describe('The lab that the jobs run for; you belong to it'),
    })
    .refine((body) => (body.models === undefined) !== (body.suiteId === undefined), 'say models or suiteId')
    .refine(
      (body) => body.headScores || body.heldOut.length + body.minimalPairs.length > 0,
      'nothing to evaluate: heldOut, minimalPairs or headScores',
    ),
  response: studySchema,
  status: 201,
  errors: [
    'studies.nothing-to-study',
    'resource.not-found',
    'catalogue.invalid-corpus',
    'catalogue.not-loadable',
    'catalogue.behaviour-only',
    'scheduling.unschedulable',
    'scheduling.queue-full',
    'scheduling.quota-exceeded',
    'auth.forbidden',
  ],
});

export const listStudies = endpoint({
  id: 'studies.list',
  method: 'GET',
  path: '/studies',
  access: readable,
  summary: 'Studies, newest first',
  query: pageQuery,
  response: pageOf(studySchema),
});

export const showStudy = endpoint({
  id: 'studies.show',
  method: 'GET',
  path: '/studies/:studyId',
  access: readable,
  summary: 'A study, its jobs and how far they are',
  params: studyParams,
  response: studySchema.extend({
    definition: z.object({
      heldOut: z.array(studyMaterial),
      minimalPairs: z.array(studyMaterial),
      headScores: z.boolean(),
    }),
    members: z.array(
      z.object({
        modelId: idText('mdl'),
        name: z.string(),
        jobId: idText('job'),
        state: z.enum(['running', 'succeeded', 'failed', 'cancelled']),
        reason: z.string().nullable(),
        revisionsExpected: z.number().int(),
        revisionsDone: z.number().int(),
      }),
    ),
  }),
  errors: ['resource.not-found'],
});

export const studyMetrics = [
  'bitsPerByte',
  'previousToken',
  'induction',
  'duplicateToken',
  'accuracy',
] as const;
export type StudyMetric = (typeof studyMetrics)[number];

/** One number of a study with its confidence interval and what it belongs to. */
export const studyRowSchema = z
  .object({
    modelId: idText('mdl'),
    model: z.string(),
    step: z.number().int(),
    tokensSeen: z.number().int().nullable(),
    family: z.string().nullable(),
    size: z.string().nullable(),
    parameters: z.number().int().nullable(),
    parametersWithoutEmbeddings: z.number().int().nullable(),
    language: z.string().nullable().describe('That the model was trained on, ISO 639-3'),
    tokenizer: z.string().nullable(),
    initialisationSeed: z.number().int().nullable(),
    dataOrderSeed: z.number().int().nullable(),
    metric: z.enum(studyMetrics),
    text: z.string().nullable().describe('Name of the held-out text or of the set of minimal pairs'),
    textLanguage: z.string().nullable(),
    layer: z.number().int().nullable(),
    head: z.number().int().nullable(),
    value: z.number(),
    low: z.number().describe('Lower end of the 95 % interval'),
    high: z.number(),
  })
  .meta({ id: 'StudyRow' });
export type StudyRow = z.output<typeof studyRowSchema>;
export const studyColumns = Object.keys(studyRowSchema.shape) as (keyof StudyRow)[];

export const readStudyResults = endpoint({
  id: 'studies.results',
  method: 'GET',
  path: '/studies/:studyId/results',
  access: readable,
  summary: 'The numbers of a study, one row each, as far as they are in',
  params: studyParams,
  query: z.object({
    metric: z.enum(studyMetrics).optional(),
    finalOnly: z.stringbool().default(false).describe('Only the last revision of each model'),
    after: z
      .string()
      .regex(/^\d{1,12}$/)
      .optional()
      .describe('`next` of the page before'),
    limit: z.coerce.number().int().min(1).max(studyLimits.rowsPerPage).default(5_000),
  }),
  response: pageOf(studyRowSchema),
  errors: ['resource.not-found'],
});

export const downloadStudyCsv = endpoint({
  id: 'studies.csv',
  method: 'GET',
  path: '/studies/:studyId/results.csv',
  access: readable,
  summary: 'The numbers of a study as a CSV file (RFC 4180, UTF-8)',
  params: studyParams,
  response: z.string(),
  produces: 'text/csv',
  errors: ['resource.not-found'],
});

export const drawStudyFigure = endpoint({
  id: 'studies.figure',
  method: 'GET',
  path: '/studies/:studyId/figure.svg',
  access: readable,
  summary: 'The figure of a study: held-out loss against size, and head scores against training step',
  params: studyParams,
  response: z.string(),
  produces: 'image/svg+xml',
  errors: ['resource.not-found', 'studies.nothing-to-study'],
});

export const showStudyChain = endpoint({
  id: 'studies.chain',
  method: 'GET',
  path: '/studies/:studyId/chain',
  access: readable,
  summary: 'The ids that lead from a figure back to the vote, model by model',
  description:
    'Figure → study → evaluation job → model → training job → suite → proposal → round; the ballots are counted in the certificate at /rounds/{roundId}.',
  params: studyParams,
  response: z.object({
    studyId: idText('stu'),
    figure: z.string(),
    links: z.array(
      z.object({
        evaluationJobId: idText('job'),
        modelId: idText('mdl'),
        model: z.string(),
        trainingJobId: idText('job').nullable(),
        suiteId: idText('sui').nullable(),
        proposalId: idText('prp').nullable(),
        roundId: idText('rnd').nullable(),
        certificateSha256: sha256Text.nullable(),
      }),
    ),
  }),
  errors: ['resource.not-found'],
});
