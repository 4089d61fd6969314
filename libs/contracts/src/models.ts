import { z } from 'zod';
import { catalogueLimits, readableCatalogue } from './catalogue-limits.js';
import { endpoint, idText, isoTime, pageOf, pageQuery, sha256Text } from './endpoint.js';
import { confoundingSchema } from './planned-suites.js';
import { evaluationResult, numericsReceipt } from './runner-event.js';
import { localName } from './runner-job.js';

/** Models: what was trained on what, how, and what it can be compared with. */

export const modelStates = [
  'planned',
  'training',
  'ready',
  'failed',
  'imported',
  'listed',
  'withdrawn',
] as const;
export const modelStateSchema = z.enum(modelStates);
export type ModelState = z.infer<typeof modelStateSchema>;

const known = {
  text: z.string().max(200).nullable().default(null),
  count: z.number().int().min(0).nullable().default(null),
  number: z.number().nullable().default(null),
};

/**
 * What a model is, factor by factor; null is unknown and stays so. For a trained model these are the values that the
 * run resolved, not those that the design asked for.
 */
export const modelFactorsSchema = z
  .object({
    family: known.text.describe('gpt-neox, llama, gpt2, bert, mamba, or what an imported model is'),
    size: known.text.describe('Name of the size level, or any short name'),
    layers: known.count,
    hiddenSize: known.count,
    heads: known.count.describe('0 where there are none'),
    intermediateSize: known.count,
    contextTokens: known.count,
    vocabSize: known.count,
    parameters: known.count,
    parametersWithoutEmbeddings: known.count,
    objective: known.text.describe('causal or masked'),
    tieEmbeddings: z.boolean().nullable().default(null),
    language: known.text.describe('ISO 639-3'),
    script: known.text.describe('ISO 15924'),
    corpus: known.text.describe('Id of the corpus, or a name'),
    tokenizer: known.text.describe('Name of the tokenizer level'),
    tokenizerKind: known.text,
    tokenizerScope: known.text.describe('shared or per-language'),
    tokenizerSha256: known.text,
    dataManifestSha256: known.text,
    tokens: known.count.describe('Seen in training'),
    bytes: known.count.describe('Of text, seen in training'),
    epochs: known.number,
    steps: known.count,
    tokenBudget: known.text.describe('equal, or byte-premium: steps are referenceSteps times bytePremium'),
    bytePremium: known.number.describe('Bytes of this language for one of the reference language'),
    referenceSteps: known.count.describe('Steps before they were scaled'),
    batchSequences: known.count,
    learningRate: known.number,
    minimumLearningRateRatio: known.number,
    schedule: known.text,
    warmupSteps: known.count,
    weightDecay: known.number,
    beta1: known.number,
    beta2: known.number,
    epsilon: known.number,
    gradientClip: known.number,
    maskProbability: known.number,
    dtype: known.text,
    initialisationSeed: known.count,
    dataOrderSeed: known.count,
  })
  .meta({ id: 'ModelFactors' });
export type ModelFactors = z.output<typeof modelFactorsSchema>;
export type ModelFactorName = keyof ModelFactors;
export const modelFactorNames = Object.keys(modelFactorsSchema.shape) as [
  ModelFactorName,
  ...ModelFactorName[],
];

export const modelSchema = z
  .object({
    modelId: idText('mdl'),
    name: z.string(),
    hubId: z.string().describe('For `from_pretrained` with HF_ENDPOINT set to this facility'),
    state: modelStateSchema,
    reason: z.string().nullable().describe('Why it failed, or was withdrawn'),
    visibility: z.enum(['public', 'private']),
    suiteId: idText('sui').nullable(),
    roundId: idText('rnd').nullable(),
    proposalId: idText('prp').nullable(),
    labId: idText('lab').nullable(),
    jobId: idText('job').nullable().describe('The job that trained it'),
    factors: modelFactorsSchema,
    revisions: z.number().int(),
    lastStep: z.number().int().nullable(),
    gpuSeconds: z.number().int().nullable(),
    createdAt: isoTime,
    readyAt: isoTime.nullable(),
  })
  .meta({ id: 'Model' });
export type ModelView = z.output<typeof modelSchema>;

/** How a model came to be. */
export const provenanceSchema = z.object({
  origin: z.enum(['suite', 'import', 'listing']),
  source: z.string().nullable().describe('Where an imported model comes from; who offers a listed one'),
  upstream: z
    .object({ name: z.string(), model: z.string() })
    .nullable()
    .describe('Of a closed model, listed for behaviour only: who is asked, and its name there'),
  attempts: z.number().int().nullable(),
  clusters: z.array(z.string()).describe('Clusters that committed its revisions, in order'),
  gpuSeconds: z.number().int().nullable(),
  flops: z.number().nullable(),
  environment: z.record(z.string(), z.unknown()).nullable().describe('Code, libraries, hardware, as found'),
  chainSha256: sha256Text.nullable().describe('Head of the hash chain of all steps: equal for equal runs'),
  divergences: z
    .array(
      z.object({ step: z.number().int(), attempt: z.number().int(), weightsSha256: z.string().nullable() }),
    )
    .describe('Revisions that a restarted attempt made again with other bits; empty when restarts are exact'),
  resolved: z.record(z.string(), z.unknown()).nullable().describe('Every option as the run used it'),
});
export type Provenance = z.output<typeof provenanceSchema>;

export const revisionSchema = z
  .object({
    revision: z.string().describe('step1000'),
    step: z.number().int(),
    commit: z.string().describe('Forty hexadecimal digits that name exactly these files'),
    tokensSeen: z.number().int().nullable(),
    bytesSeen: z.number().int().nullable(),
    loss: z.number().nullable(),
    weightsSha256: sha256Text.nullable(),
    chainSha256: sha256Text.nullable(),
    clusterId: idText('clu').nullable(),
    attempt: z.number().int().nullable(),
    sizeBytes: z.number().int(),
    committedAt: isoTime,
  })
  .meta({ id: 'Revision' });

export const modelRef = z.string().min(1).max(200).describe('Id or name of a model');
export const modelParams = z.object({ model: modelRef });

export const listModels = endpoint({
  id: 'models.list',
  method: 'GET',
  path: '/models',
  access: readableCatalogue,
  summary: 'Models, by name',
  query: pageQuery.extend({
    suiteId: idText('sui').optional(),
    state: modelStateSchema.optional(),
    name: z.string().max(200).optional().describe('Part of the name'),
    factor: z
      .union([z.string(), z.array(z.string())])
      .optional()
      .transform((value) => (value === undefined ? [] : typeof value === 'string' ? [value] : value))
      .pipe(
        z
          .array(z.string().regex(/^[A-Za-z0-9]+=.+$/, 'factor=level, as language=deu'))
          .max(modelFactorNames.length),
      )
      .describe('factor=level, repeatable: language=deu'),
  }),
  response: pageOf(modelSchema),
});

export const showModel = endpoint({
  id: 'models.show',
  method: 'GET',
  path: '/models/:model',
  access: readableCatalogue,
  summary: 'A model with its provenance',
  params: modelParams,
  response: modelSchema.extend({
    provenance: provenanceSchema.extend({
      proof: z
        .object({ url: z.string(), sizeBytes: z.number().int(), sha256: sha256Text })
        .nullable()
        .describe('The hash chain of all steps, published when training has ended'),
    }),
  }),
  errors: ['resource.not-found'],
});

export const readModelProof = endpoint({
  id: 'models.proof',
  method: 'GET',
  path: '/models/:model/proof',
  access: readableCatalogue,
  summary: 'The hash chain of the steps of a trained model, one JSON line per step and checkpoint',
  description:
    'The head begins as sha256("beamtime.step-chain/1") and becomes sha256(head + "\\n" + line) with each line, in hexadecimal digits; after the line of a checkpoint it is the chainSha256 of that revision. `beamtime model verify` checks it.',
  params: modelParams,
  response: z.string(),
  produces: 'application/jsonl',
  errors: ['resource.not-found'],
});

export const listRevisions = endpoint({
  id: 'models.revisions',
  method: 'GET',
  path: '/models/:model/revisions',
  access: readableCatalogue,
  summary: 'The revisions of a model, from the first step on',
  params: modelParams,
  response: z.object({ items: z.array(revisionSchema) }),
  errors: ['resource.not-found'],
});

export const listRevisionFiles = endpoint({
  id: 'models.files',
  method: 'GET',
  path: '/models/:model/revisions/:revision/files',
  access: readableCatalogue,
  summary: 'The files of one revision with addresses to fetch them',
  params: modelParams.extend({ revision: localName.describe('main, step1000, or a commit') }),
  response: z.object({
    revision: z.string(),
    files: z.array(
      z.object({
        path: z.string(),
        sizeBytes: z.number().int(),
        sha256: sha256Text,
        url: z.string().describe('Path on this facility'),
      }),
    ),
  }),
  errors: ['resource.not-found', 'catalogue.behaviour-only'],
});

export const evaluationSchema = z.object({
  jobId: idText('job'),
  studyId: idText('stu').nullable(),
  revision: z.string(),
  step: z.number().int(),
  results: z.array(evaluationResult),
  receipt: numericsReceipt.nullable(),
  reportedAt: isoTime,
});

/** The payload of the fact `evaluation.reported`: what the runner said of one revision. */
export const reportedEvaluationSchema = z.object({
  evaluations: z.array(evaluationResult),
  receipt: numericsReceipt.nullable().default(null),
});

export const listEvaluations = endpoint({
  id: 'models.evaluations',
  method: 'GET',
  path: '/models/:model/evaluations',
  access: readableCatalogue,
  summary: 'What evaluations of a model found, with confidence intervals and numerics receipts',
  params: modelParams,
  query: pageQuery,
  response: pageOf(evaluationSchema),
  errors: ['resource.not-found'],
});

export const listNeighbours = endpoint({
  id: 'models.neighbours',
  method: 'GET',
  path: '/models/:model/neighbours',
  access: readableCatalogue,
  summary: 'Models that differ from this one in exactly one factor',
  params: modelParams,
  response: z.object({
    items: z.array(
      z.object({
        modelId: idText('mdl'),
        name: z.string(),
        state: modelStateSchema,
        factor: z.string(),
        from: z.string(),
        to: z.string(),
      }),
    ),
  }),
  errors: ['resource.not-found'],
});

export const showConfounding = endpoint({
  id: 'catalogue.confounding',
  method: 'POST',
  path: '/catalogue/confounding',
  access: readableCatalogue,
  summary: 'What a set of models can and cannot answer',
  body: z
    .object({
      models: z.array(modelRef).min(1).max(catalogueLimits.modelsPerQuestion).optional(),
      suiteId: idText('sui').optional(),
    })
    .refine((body) => (body.models === undefined) !== (body.suiteId === undefined), 'models or suiteId'),
  response: confoundingSchema,
  errors: ['resource.not-found'],
});

const landscapeCounts = {
  counts: z.array(z.array(z.number().int())).describe('Models with weights; counts[row][column]'),
  holes: z
    .array(z.object({ row: z.string(), column: z.string() }))
    .describe('Combinations of known levels without a model'),
};

export const showLandscape = endpoint({
  id: 'catalogue.landscape',
  method: 'GET',
  path: '/catalogue/landscape',
  access: readableCatalogue,
  summary: 'How many models there are of each combination of two factors, and where there are none',
  query: z.object({
    rows: z.enum(modelFactorNames).default('language'),
    columns: z.enum(modelFactorNames).default('family'),
    split: z
      .enum(modelFactorNames)
      .optional()
      .describe('A third factor: the same table for each of its levels'),
  }),
  response: z.object({
    rows: z.array(z.string()),
    columns: z.array(z.string()),
    ...landscapeCounts,
    splits: z
      .array(z.object({ level: z.string(), ...landscapeCounts }))
      .describe('Empty without a third factor'),
  }),
});
