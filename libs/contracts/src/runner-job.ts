/**
 * The two wires of the runner that are files: the job file that it reads and the event lines that it writes.
 * The runner (Python) checks both against JSON Schema generated from here
 * (`libs/contracts/scripts/generate-runner-schemas.mjs`), and it knows nothing else of the control plane.
 *
 * A job names inputs by paths inside its workdir; an event names outputs the same way. Whoever runs the job
 * stages the inputs, uploads each folder that an event names, and to continue an attempt elsewhere puts the
 * files of the last `resumable` event into `WORKDIR/resume/`.
 */
import { z } from 'zod';

export const runnerJobSchemaName = 'beamtime.runner-job/1';

/** How a runner process ended, as its exit code. */
export const runnerExitCodes = {
  done: 0,
  crashed: 1,
  badInput: 2,
  /** A checkpoint was written after USR1 or TERM: run the same job again (EX_TEMPFAIL, as Slurm users know it). */
  requeue: 75,
} as const;

/** Where in its workdir a runner looks for the resumable state of an earlier attempt. */
export const runnerResumeDir = 'resume';
/** Where in its workdir a runner appends the event lines that it also prints. */
export const runnerEventsPath = 'events.jsonl';

/** Limits that refuse a mistake before any GPU time is spent; far above what one node trains. */
export const runnerLimits = {
  steps: 10_000_000,
  batchSequences: 65_536,
  contextTokens: 1_048_576,
  hiddenSize: 65_536,
  layers: 1_024,
  vocabSize: 1_000_000,
  corpora: 1_000,
  revisions: 1_000,
  texts: 10_000,
  captureInputs: 100_000,
  sites: 1_000,
  threads: 1_024,
  seats: 4_096,
} as const;

/** A path below the workdir: relative, and never climbing out of it. */
export const workdirPath = z
  .string()
  .min(1)
  .max(1_000)
  .regex(/^(?!\/)(?!(.*\/)?\.\.(\/|$)).+$/, 'a path below the workdir')
  .describe('Path relative to the workdir');
export const sha256Hex = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe('SHA-256, 64 hexadecimal digits');
/** The bibliographic codes of ISO 639-2, which are not those of ISO 639-3: taken for them most often. */
const bibliographicCodes: Readonly<Record<string, string>> = {
  alb: 'sqi',
  arm: 'hye',
  baq: 'eus',
  bur: 'mya',
  chi: 'zho',
  cze: 'ces',
  dut: 'nld',
  fre: 'fra',
  geo: 'kat',
  ger: 'deu',
  gre: 'ell',
  ice: 'isl',
  mac: 'mkd',
  mao: 'mri',
  may: 'msa',
  per: 'fas',
  rum: 'ron',
  slo: 'slk',
  tib: 'bod',
  wel: 'cym',
};
/** ISO 639-3, three letters: `eng`, `zul`. */
export const languageCode = z
  .string()
  .regex(/^[a-z]{3}$/, 'three small letters of ISO 639-3, as deu')
  .refine((code) => !(code in bibliographicCodes), {
    error: ({ input }) =>
      `${String(input)} is the bibliographic code of ISO 639-2; ISO 639-3 has ${bibliographicCodes[String(input)] ?? ''}`,
  })
  .describe('ISO 639-3');
const fourLetters = /^[A-Z][a-z]{3}$/;
const scriptNames = new Intl.DisplayNames(['en'], { type: 'script', fallback: 'none' });
/** ISO 15924, four letters: `Latn`, `Cyrl`; Qaaa to Qabx are for private use. */
export const scriptCode = z
  .string()
  .regex(fourLetters, 'four letters of ISO 15924, as Latn')
  .refine((code) => !fourLetters.test(code) || isScript(code), {
    error: ({ input }) => `there is no script ${String(input)} in ISO 15924`,
  })
  .describe('ISO 15924');

function isScript(code: string): boolean {
  return /^Qa[ab][a-x]$/.test(code) || scriptNames.of(code) !== undefined;
}
/** Names a corpus, text or input inside one job; also used as a file name. */
export const localName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/)
  .describe('Letters, digits and . _ @ -');
const seed = z.int().min(0).max(4_294_967_295);
const fraction = z.number().min(0).max(1);

// ---------------------------------------------------------------- what to train

export const modelFamilies = ['gpt-neox', 'llama', 'gpt2', 'bert', 'mamba'] as const;
export const modelFamily = z.enum(modelFamilies);
export type ModelFamily = z.infer<typeof modelFamily>;

export const modelShape = z
  .strictObject({
    family: modelFamily,
    hiddenSize: z.int().min(1).max(runnerLimits.hiddenSize),
    layers: z.int().min(1).max(runnerLimits.layers),
    heads: z
      .int()
      .min(1)
      .max(runnerLimits.hiddenSize)
      .optional()
      .describe('Attention heads; must divide hiddenSize. Required except for mamba, which has none'),
    contextTokens: z.int().min(2).max(runnerLimits.contextTokens),
    intermediateSize: z.int().min(1).optional().describe('Width of the MLP; 4 × hiddenSize when omitted'),
    tieEmbeddings: z
      .boolean()
      .optional()
      .describe('Whether input and output embeddings are one matrix; by default what the family does'),
    options: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .optional()
      .describe('Further fields of the transformers configuration, such as rotary_pct'),
  })
  .describe('The architecture, built from a transformers configuration');
export type ModelShape = z.infer<typeof modelShape>;

export const tokenizerSpec = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum(['bpe', 'unigram']),
    vocabSize: z
      .int()
      .min(258)
      .max(runnerLimits.vocabSize)
      .describe('256 bytes and two special tokens at least'),
    corpora: z
      .array(localName)
      .min(1)
      .optional()
      .describe('Train the tokenizer on these corpora only; all of them when omitted'),
  }),
  z
    .strictObject({ kind: z.literal('byte') })
    .describe('The 256 bytes, end of text and mask: 258 tokens; never trained'),
  z.strictObject({ kind: z.literal('folder'), path: workdirPath }).describe('A tokenizer folder made before'),
]);
export type TokenizerSpec = z.infer<typeof tokenizerSpec>;

export const corpusInput = z
  .strictObject({
    id: localName,
    path: workdirPath,
    sha256: sha256Hex.optional().describe('Checked before anything else when given'),
    language: languageCode,
    script: scriptCode,
    format: z
      .enum(['text', 'jsonl'])
      .optional()
      .describe('text: one UTF-8 document; jsonl: one document per line, in the field "text". Default text'),
  })
  .describe('One file of text');
export type CorpusInput = z.infer<typeof corpusInput>;

export const checkpointSchedule = z.union([
  z.enum(['log2', 'pythia']),
  z.array(z.int().min(0).max(runnerLimits.steps)).min(1).max(10_000),
]);

export const trainingOptions = z.strictObject({
  steps: z.int().min(1).max(runnerLimits.steps),
  batchSequences: z.int().min(1).max(runnerLimits.batchSequences),
  microBatchSequences: z
    .int()
    .min(1)
    .optional()
    .describe('Sequences per forward pass; must divide batchSequences, which it is by default'),
  learningRate: z.number().gt(0).max(10),
  schedule: z.enum(['constant', 'linear', 'cosine']).optional().describe('Default cosine'),
  warmupSteps: z.int().min(0).optional().describe('Default one step in a hundred'),
  minimumLearningRateRatio: fraction.optional().describe('Where the schedule ends; default 0.1'),
  weightDecay: z.number().min(0).max(10).optional().describe('Default 0.1; not on biases and norms'),
  beta1: z.number().min(0).lt(1).optional().describe('Default 0.9'),
  beta2: z.number().min(0).lt(1).optional().describe('Default 0.95'),
  epsilon: z.number().gt(0).optional().describe('Default 1e-8'),
  gradientClip: z.number().min(0).optional().describe('Greatest norm of the gradient; 0 is off; default 1'),
  maskProbability: z.number().gt(0).lt(1).optional().describe('bert only; default 0.15'),
  dtype: z.enum(['float32', 'bfloat16']).optional().describe('bfloat16 is autocast; default float32'),
});
export type TrainingOptions = z.infer<typeof trainingOptions>;

export const runtimeOptions = z.strictObject({
  threads: z
    .int()
    .min(1)
    .max(runnerLimits.threads)
    .optional()
    .describe('CPU threads; default 1. Part of the bits of a result: it never follows the machine'),
  device: z.enum(['auto', 'cpu', 'cuda']).optional().describe('Default auto'),
  deterministic: z.boolean().optional().describe('Default true'),
  compile: z.boolean().optional().describe('torch.compile; default false'),
});
export type RuntimeOptions = z.infer<typeof runtimeOptions>;

const jobHead = {
  schema: z.literal(runnerJobSchemaName),
  jobId: z.string().min(1).max(100),
  attempt: z.int().min(1).describe('The fencing token, repeated in each event'),
};

export const trainJob = z.strictObject({
  ...jobHead,
  kind: z.literal('train'),
  seats: z
    .int()
    .min(1)
    .max(runnerLimits.seats)
    .optional()
    .describe(
      'Processes among which the batch is shared and whose gradients are added, by default as many as run. So many, or half, or a quarter of them …, end with the same bits: each then does the work of several',
    ),
  model: modelShape,
  tokenizer: tokenizerSpec,
  data: z.strictObject({
    corpora: z.array(corpusInput).min(1).max(runnerLimits.corpora),
    mix: z
      .record(localName, z.number().min(0))
      .optional()
      .describe(
        'Share of each corpus in the windows drawn; one at 0 or left out serves the tokenizer only. By default in proportion to tokens',
      ),
  }),
  seeds: z.strictObject({ initialisation: seed, dataOrder: seed }),
  training: trainingOptions,
  checkpoints: z
    .strictObject({
      schedule: checkpointSchedule
        .optional()
        .describe('log2: 0, 1, 2, 4 …; pythia: 0, 1, 2, 4 … 512, 1000, 2000 …; or the steps. Default log2'),
      resumeEverySteps: z
        .int()
        .min(1)
        .optional()
        .describe('Default: a twentieth of all steps, at least 10, and then 3 seconds apart'),
    })
    .optional(),
  runtime: runtimeOptions.optional(),
});
export type TrainJob = z.infer<typeof trainJob>;

// ---------------------------------------------------------------- what to do with trained revisions

export const revisionInput = z
  .strictObject({
    revision: localName.describe('Opaque to the runner: "step1000", or "mdl_…@step1000" to mix models'),
    path: workdirPath.describe('A from_pretrained folder'),
    weightsSha256: sha256Hex.optional().describe('Of model.safetensors; checked when given'),
  })
  .describe('One checkpoint');
export type RevisionInput = z.infer<typeof revisionInput>;
const revisions = z.array(revisionInput).min(1).max(runnerLimits.revisions);

export const serveJob = z.strictObject({
  ...jobHead,
  kind: z.literal('serve'),
  revisions,
  defaultRevision: localName
    .optional()
    .describe('For requests that name none; by default the last in the list'),
  serve: z
    .strictObject({
      host: z.enum(['127.0.0.1', '0.0.0.0']).optional().describe('Default 127.0.0.1'),
      port: z
        .int()
        .min(0)
        .max(65_535)
        .optional()
        .describe('0, the default, takes a free one; see event "ready"'),
      loadedRevisionsMax: z
        .int()
        .min(1)
        .max(1_000)
        .optional()
        .describe('Revisions kept in memory; default 4'),
      captureBytesMax: z.int().min(1).optional().describe('Of one capture; default 256 MiB'),
      dtype: z.enum(['float32', 'bfloat16']).optional().describe('Default float32'),
    })
    .optional(),
  runtime: runtimeOptions.optional(),
});
export type ServeJob = z.infer<typeof serveJob>;

/** A place inside the model by TransformerLens's name, or a glob of them: `blocks.*.hook_resid_post`. */
export const sitePattern = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_.*]+$/)
  .describe('TransformerLens site name; * stands for any part');
export const capturePositions = z.union([
  z.enum(['all', 'last']),
  z.array(z.int().min(0)).min(1).max(100_000),
]);
export const captureDtype = z.enum(['float32', 'float16', 'bfloat16']);

export const captureJob = z.strictObject({
  ...jobHead,
  kind: z.literal('capture'),
  revisions,
  inputs: z
    .array(
      z.union([
        z.strictObject({ id: localName, text: z.string().min(1) }),
        z.strictObject({ id: localName, tokenIds: z.array(z.int().min(0)).min(1) }),
      ]),
    )
    .min(1)
    .max(runnerLimits.captureInputs),
  sites: z.array(sitePattern).min(1).max(runnerLimits.sites),
  positions: capturePositions.optional().describe('Default all'),
  dtype: captureDtype.optional().describe('Default float32'),
  bytesMax: z
    .int()
    .min(1)
    .optional()
    .describe('Refuse before running when all files together would be larger'),
  runtime: runtimeOptions.optional(),
});
export type CaptureJob = z.infer<typeof captureJob>;

export const evaluationTask = z.discriminatedUnion('task', [
  z
    .strictObject({
      task: z.literal('bitsPerByte'),
      texts: z
        .array(
          z.strictObject({
            id: localName,
            path: workdirPath,
            sha256: sha256Hex.optional(),
            language: languageCode,
            script: scriptCode,
          }),
        )
        .min(1)
        .max(runnerLimits.texts),
      bytesMax: z.int().min(1).optional().describe('Read only this much of each text; default 1 MiB'),
    })
    .describe('Bits per byte of held-out text: what can be compared between languages and tokenizers'),
  z
    .strictObject({
      task: z.literal('headScores'),
      sequences: z.int().min(1).max(10_000).optional().describe('Default 16'),
      halfTokens: z.int().min(2).max(4_096).optional().describe('Random tokens, then repeated; default 32'),
    })
    .describe('Previous-token, induction and duplicate-token score of each attention head'),
  z
    .strictObject({
      task: z.literal('minimalPairs'),
      id: localName,
      path: workdirPath.describe('JSON lines with sentence_good and sentence_bad, as BLiMP has'),
      sha256: sha256Hex.optional(),
      language: languageCode,
      script: scriptCode,
    })
    .describe('Share of pairs in which the good sentence is the more probable'),
]);
export type EvaluationTask = z.infer<typeof evaluationTask>;

export const evaluateJob = z.strictObject({
  ...jobHead,
  kind: z.literal('evaluate'),
  revisions,
  tasks: z.array(evaluationTask).min(1).max(100),
  seed: seed.optional().describe('Of the bootstrap and of random sequences; default 0'),
  bootstrapSamples: z.int().min(100).max(100_000).optional().describe('Default 1000'),
  runtime: runtimeOptions.optional(),
});
export type EvaluateJob = z.infer<typeof evaluateJob>;

/** The job file. */
export const runnerJob = z.discriminatedUnion('kind', [trainJob, serveJob, captureJob, evaluateJob]);
export type RunnerJob = z.infer<typeof runnerJob>;
