import { z } from 'zod';
import { endpoint, idText, isoTime, longText, pageOf, pageQuery, sha256Text, shortText } from './endpoint.js';
import { evaluationResult, numericsReceipt } from './runner-event.js';
import { languageCode, localName, scriptCode, workdirPath } from './runner-job.js';
import { suiteDesignSchema } from './suite.js';

/** Corpora, suites and models: what was trained on what, how it was trained, and what it can be compared with. */

export const catalogueLimits = {
  /** What S3 takes in one request; larger corpora are registered in parts. */
  corpusBytes: 5 * 1024 ** 3,
  revisionsPerImport: 1_000,
  filesPerRevision: 500,
  /** What one request for confounding or a landscape looks at. */
  modelsPerQuestion: 10_000,
} as const;

const readable = {
  kind: 'public',
  why: 'anyone may see what the consortium has trained; private models are shown only to those who may use them',
} as const;
const uploaders = { kind: 'person', roles: ['researcher', 'delegate', 'operator', 'secretariat'] } as const;

// ---------------------------------------------------------------- corpora

/** `registered`: announced, its bytes not here yet. `rejected`: they came and were no text. */
export const corpusStates = ['registered', 'ready', 'rejected'] as const;

export const corpusSchema = z
  .object({
    corpusId: idText('cor'),
    name: z.string(),
    description: z.string(),
    language: languageCode,
    script: scriptCode,
    format: z.enum(['text', 'jsonl']),
    sizeBytes: z.number().int().min(1),
    sha256: sha256Text,
    state: z.enum(corpusStates),
    reason: z.string().nullable().describe('Why it was rejected'),
    labId: idText('lab').nullable(),
    uploadedBy: idText('per'),
    createdAt: isoTime,
    readyAt: isoTime.nullable(),
  })
  .meta({ id: 'Corpus' });
export type CorpusView = z.output<typeof corpusSchema>;

/** Where to put bytes without credentials, for a while. */
export const uploadSchema = z.object({
  method: z.literal('PUT'),
  url: z.url(),
  headers: z.record(z.string(), z.string()),
  expiresAt: isoTime,
});
export type Upload = z.output<typeof uploadSchema>;

const corpusParams = z.object({ corpusId: idText('cor') });

export const registerCorpus = endpoint({
  id: 'corpora.register',
  method: 'POST',
  path: '/corpora',
  access: uploaders,
  summary: 'Announce a corpus: its language, size and hash',
  description:
    'Then either PUT its bytes to /corpora/{corpusId}/content, or PUT them to `upload` and POST /corpora/{corpusId}/commit. The same name, hash, language and script again answers the same corpus.',
  body: z.object({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/)
      .describe('Unique in the consortium'),
    description: longText.default(''),
    language: languageCode,
    script: scriptCode,
    format: z.enum(['text', 'jsonl']).default('text'),
    sizeBytes: z.number().int().min(0).max(catalogueLimits.corpusBytes),
    sha256: sha256Text,
    labId: idText('lab').optional().describe('The lab that brings it; you belong to it'),
  }),
  response: z.object({
    corpus: corpusSchema,
    upload: uploadSchema.nullable().describe('Null when the bytes are here already'),
  }),
  status: 201,
  errors: ['catalogue.invalid-corpus', 'resource.exists', 'auth.forbidden'],
});

export const uploadCorpus = endpoint({
  id: 'corpora.upload',
  method: 'PUT',
  path: '/corpora/:corpusId/content',
  access: uploaders,
  summary: 'Send the bytes of a registered corpus through the facility',
  description:
    'Checked while they pass: as long as announced, of the announced hash, UTF-8 without NUL. A corpus that is no text is rejected with the offset of the first bad byte.',
  params: corpusParams,
  consumes: 'application/octet-stream',
  bodyLimitBytes: catalogueLimits.corpusBytes,
  response: corpusSchema,
  errors: [
    'resource.not-found',
    'auth.forbidden',
    'catalogue.invalid-corpus',
    'object-store.checksum-mismatch',
    'object-store.full',
    'state.illegal-transition',
  ],
});

export const commitCorpus = endpoint({
  id: 'corpora.commit',
  method: 'POST',
  path: '/corpora/:corpusId/commit',
  access: uploaders,
  summary: 'The bytes were put to the upload address: check them and make the corpus usable',
  params: corpusParams,
  response: corpusSchema,
  errors: [
    'resource.not-found',
    'auth.forbidden',
    'catalogue.invalid-corpus',
    'object-store.not-found',
    'object-store.checksum-mismatch',
    'state.illegal-transition',
  ],
});

export const listCorpora = endpoint({
  id: 'corpora.list',
  method: 'GET',
  path: '/corpora',
  access: { kind: 'person' },
  summary: 'Registered corpora, newest first',
  query: pageQuery.extend({ language: languageCode.optional(), state: z.enum(corpusStates).optional() }),
  response: pageOf(corpusSchema),
});

export const showCorpus = endpoint({
  id: 'corpora.show',
  method: 'GET',
  path: '/corpora/:corpusId',
  access: { kind: 'person' },
  summary: 'One corpus',
  params: corpusParams,
  response: corpusSchema,
  errors: ['resource.not-found'],
});

// ---------------------------------------------------------------- suites

export const cellCostSchema = z.object({
  name: z.string(),
  parameters: z.number(),
  parametersWithoutEmbeddings: z.number(),
  tokens: z.number(),
  flops: z.number(),
  gpuSeconds: z.number(),
  wallSeconds: z.number(),
  checkpoints: z.number(),
  storageBytes: z.number(),
});

export const confoundingSchema = z
  .object({
    models: z.number().int(),
    held: z.array(z.string()).describe('Factors that are equal in all of them'),
    factors: z.array(
      z.object({
        factor: z.string(),
        levels: z.number().int(),
        unknown: z.number().int().describe('Models of which this factor is not known'),
        cleanPairs: z.number().int().describe('Pairs that differ in this factor and nothing else'),
        confoundedWith: z.array(z.string()).describe('Factors that differ wherever this one does'),
      }),
    ),
    associations: z.array(
      z.object({
        factors: z.tuple([z.string(), z.string()]),
        strength: z.number().describe("Cramér's V: 0 crossed, 1 one follows from the other"),
        inseparable: z.boolean(),
      }),
    ),
    unanswerable: z.array(z.string()).describe('Factors whose effect these models cannot show'),
  })
  .meta({ id: 'Confounding' });

/** What a design would train, cost and answer. */
export const suitePlanSchema = z
  .object({
    name: z.string(),
    models: z.number().int(),
    parameters: z.number(),
    tokens: z.number(),
    flops: z.number(),
    gpuSeconds: z.number(),
    gpuHours: z.number(),
    longestWallSeconds: z.number(),
    checkpoints: z.number(),
    storageBytes: z.number(),
    cells: z.array(
      cellCostSchema.extend({ levels: z.record(z.string(), z.union([z.string(), z.number()])) }),
    ),
    questions: z.array(z.object({ factor: z.string(), pairs: z.number().int(), groups: z.number().int() })),
    confounding: confoundingSchema,
  })
  .meta({ id: 'SuitePlan' });
export type SuitePlan = z.output<typeof suitePlanSchema>;

export const planSuite = endpoint({
  id: 'suites.plan',
  method: 'POST',
  path: '/suites/plan',
  access: { kind: 'person' },
  summary: 'What a design would train, cost and be able to answer; keeps nothing',
  body: suiteDesignSchema,
  response: suitePlanSchema,
  errors: ['governance.invalid-suite'],
});

/** Follows from the states of the suite's models. */
export const suiteStates = ['planned', 'training', 'ready', 'incomplete'] as const;

export const suiteSchema = z
  .object({
    suiteId: idText('sui'),
    name: z.string(),
    title: z.string(),
    state: z.enum(suiteStates).describe('incomplete: nothing trains any more and some models failed'),
    origin: z.enum(['round', 'secretariat']),
    roundId: idText('rnd').nullable(),
    proposalId: idText('prp').nullable(),
    labId: idText('lab').nullable().describe('The lab that proposed it'),
    certificateSha256: sha256Text.nullable(),
    gpuSecondsReserved: z.number().int(),
    gpuSecondsUsed: z.number().int(),
    models: z.record(z.string(), z.number().int()).describe('How many models are in each state'),
    createdAt: isoTime,
  })
  .meta({ id: 'Suite' });
export type SuiteView = z.output<typeof suiteSchema>;

export const createSuite = endpoint({
  id: 'suites.create',
  method: 'POST',
  path: '/suites',
  access: { kind: 'person', roles: ['secretariat'] },
  summary: 'Enter a suite that no round decided on (a lab pays for it itself, or it is a trial)',
  body: z.object({ design: suiteDesignSchema, labId: idText('lab').optional() }),
  response: suiteSchema,
  status: 201,
  errors: ['governance.invalid-suite', 'resource.exists'],
});

export const listSuites = endpoint({
  id: 'suites.list',
  method: 'GET',
  path: '/suites',
  access: readable,
  summary: 'Suites, newest first',
  query: pageQuery.extend({ roundId: idText('rnd').optional() }),
  response: pageOf(suiteSchema),
});

export const showSuite = endpoint({
  id: 'suites.show',
  method: 'GET',
  path: '/suites/:suiteId',
  access: readable,
  summary: 'One suite with its design and its models',
  params: z.object({ suiteId: idText('sui') }),
  response: suiteSchema.extend({
    design: suiteDesignSchema,
    members: z.array(
      z.object({ modelId: idText('mdl'), name: z.string(), state: z.string(), revisions: z.number().int() }),
    ),
  }),
  errors: ['resource.not-found'],
});

// ---------------------------------------------------------------- models

export const modelStates = ['planned', 'training', 'ready', 'failed', 'imported'] as const;
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
    reason: z.string().nullable().describe('Why it failed'),
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
  origin: z.enum(['suite', 'import']),
  source: z.string().nullable().describe('Where an imported model comes from'),
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

const modelRef = z.string().min(1).max(200).describe('Id or name of a model');
const modelParams = z.object({ model: modelRef });

export const listModels = endpoint({
  id: 'models.list',
  method: 'GET',
  path: '/models',
  access: readable,
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
  access: readable,
  summary: 'A model with its provenance',
  params: modelParams,
  response: modelSchema.extend({ provenance: provenanceSchema }),
  errors: ['resource.not-found'],
});

export const listRevisions = endpoint({
  id: 'models.revisions',
  method: 'GET',
  path: '/models/:model/revisions',
  access: readable,
  summary: 'The revisions of a model, from the first step on',
  params: modelParams,
  response: z.object({ items: z.array(revisionSchema) }),
  errors: ['resource.not-found'],
});

export const listRevisionFiles = endpoint({
  id: 'models.files',
  method: 'GET',
  path: '/models/:model/revisions/:revision/files',
  access: readable,
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
  errors: ['resource.not-found'],
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
  access: readable,
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
  access: readable,
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
  access: readable,
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

export const showLandscape = endpoint({
  id: 'catalogue.landscape',
  method: 'GET',
  path: '/catalogue/landscape',
  access: readable,
  summary: 'How many models there are of each combination of two factors, and where there are none',
  query: z.object({
    rows: z.enum(modelFactorNames).default('language'),
    columns: z.enum(modelFactorNames).default('family'),
  }),
  response: z.object({
    rows: z.array(z.string()),
    columns: z.array(z.string()),
    counts: z.array(z.array(z.number().int())).describe('Models with weights; counts[row][column]'),
    holes: z.array(z.object({ row: z.string(), column: z.string() })),
  }),
});

// ---------------------------------------------------------------- import

const importedRevision = z.object({
  step: z.number().int().min(0).describe('The revision becomes step<step>; the greatest is main'),
  tokensSeen: z.number().int().min(0).nullable().default(null),
  files: z
    .array(z.object({ path: workdirPath, sizeBytes: z.number().int().min(0), sha256: sha256Text }))
    .min(1)
    .max(catalogueLimits.filesPerRevision),
});

export const importModel = endpoint({
  id: 'models.import',
  method: 'POST',
  path: '/models/import',
  access: { kind: 'person', roles: ['researcher', 'operator', 'secretariat'] },
  summary: 'Describe a model that was trained elsewhere and get addresses for its files',
  description:
    'Say the factors that are known; what is left out stays unknown. PUT each file to its address, then POST /models/{modelId}/import/commit.',
  body: z.object({
    name: z
      .string()
      .regex(/^(?!.*(--|\.\.|\.git$))[A-Za-z0-9]([A-Za-z0-9._-]{0,85}[A-Za-z0-9])?$/)
      .describe('As the Hugging Face hub takes it'),
    factors: modelFactorsSchema.partial().default({}),
    visibility: z.enum(['public', 'private']).default('public'),
    labId: idText('lab').optional().describe('The lab that brings it; needed for a private model'),
    source: shortText.optional(),
    revisions: z.array(importedRevision).min(1).max(catalogueLimits.revisionsPerImport),
  }),
  bodyLimitBytes: 16 * 1024 * 1024,
  response: z.object({
    modelId: idText('mdl'),
    name: z.string(),
    uploads: z
      .array(z.object({ sha256: sha256Text, upload: uploadSchema.nullable() }))
      .describe('One for each content; null when the store has it already'),
  }),
  status: 201,
  errors: ['resource.exists', 'auth.forbidden', 'limit.exceeded'],
});

export const commitImport = endpoint({
  id: 'models.import.commit',
  method: 'POST',
  path: '/models/:model/import/commit',
  access: { kind: 'person', roles: ['researcher', 'operator', 'secretariat'] },
  summary: 'All files of an imported model are in the store',
  params: modelParams,
  response: modelSchema,
  errors: ['resource.not-found', 'auth.forbidden', 'object-store.not-found', 'state.illegal-transition'],
});

// ---------------------------------------------------------------- provenance chain

export const showModelChain = endpoint({
  id: 'models.chain',
  method: 'GET',
  path: '/models/:model/chain',
  access: readable,
  summary: 'The ids that lead from a model back to the vote: job, suite, proposal, round, certificate',
  params: modelParams,
  response: z.object({
    modelId: idText('mdl'),
    name: z.string(),
    jobId: idText('job').nullable(),
    suiteId: idText('sui').nullable(),
    proposalId: idText('prp').nullable(),
    roundId: idText('rnd').nullable(),
    certificateSha256: sha256Text.nullable(),
  }),
  errors: ['resource.not-found'],
});
