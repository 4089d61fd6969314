/**
 * What a runner says: one JSON object per line, to stdout and to `WORKDIR/events.jsonl`.
 * `seq` rises by one with each line of a process, so a reader sees what it missed; `attempt` fences.
 */
import { z } from 'zod';
import {
  languageCode,
  localName,
  modelFamily,
  runtimeOptions,
  scriptCode,
  sha256Hex,
  trainingOptions,
  workdirPath,
} from './runner-job.js';

const count = z.int().min(0);

/** One file of a folder that an event names; `path` is relative to that folder. */
export const folderFile = z.strictObject({ path: workdirPath, bytes: count, sha256: sha256Hex });
export type FolderFile = z.infer<typeof folderFile>;

/** What produced a number, so that another lab can tell why its own differs. */
export const numericsReceipt = z.strictObject({
  revision: z.string(),
  weightsSha256: sha256Hex.describe('Of model.safetensors'),
  tokenizerSha256: sha256Hex.describe('Of tokenizer.json'),
  codeVersion: z.string().describe('Version of the runner'),
  torchVersion: z.string(),
  transformersVersion: z.string(),
  dtype: z.string(),
  device: z.string().describe('cpu with its vector instructions, or the name of the card'),
  threads: z.int().min(1),
  deterministic: z.boolean(),
  batchInvariant: z.boolean().describe('Whether the answer does not depend on what else was asked with it'),
});
export type NumericsReceipt = z.infer<typeof numericsReceipt>;

/** A point estimate with its bootstrap interval. */
export const estimate = z.strictObject({
  value: z.number(),
  low: z.number(),
  high: z.number(),
  level: z.number().describe('Confidence, 0.95'),
});
export type Estimate = z.infer<typeof estimate>;

export const evaluationResult = z.discriminatedUnion('task', [
  z.strictObject({
    task: z.literal('bitsPerByte'),
    id: localName,
    language: languageCode,
    script: scriptCode,
    bitsPerByte: estimate,
    bytes: count.describe('Bytes predicted'),
    tokens: count.describe('Tokens predicted'),
    sha256: sha256Hex.describe('Of the text read'),
    objective: z.enum(['causal', 'pseudo']).describe('pseudo: masked models, one token masked at a time'),
  }),
  z.strictObject({
    task: z.literal('headScores'),
    sequences: count,
    heads: z.array(
      z.strictObject({
        layer: count,
        head: count,
        previousToken: estimate,
        induction: estimate,
        duplicateToken: estimate,
      }),
    ),
  }),
  z.strictObject({
    task: z.literal('minimalPairs'),
    id: localName,
    language: languageCode,
    script: scriptCode,
    accuracy: estimate,
    pairs: count,
    sha256: sha256Hex,
  }),
]);
export type EvaluationResult = z.infer<typeof evaluationResult>;

const eventHead = {
  seq: count,
  at: z.iso.datetime({ offset: true }),
  jobId: z.string(),
  attempt: z.int().min(1),
};

/** The machine and the software, as found. */
export const runnerEnvironment = z.strictObject({
  codeVersion: z.string(),
  python: z.string(),
  torch: z.string(),
  transformers: z.string(),
  tokenizers: z.string(),
  device: z.string(),
  threads: z.int().min(1),
  processes: z.int().min(1).optional().describe('That trained together, by torchrun; 1 when left out'),
  platform: z.string(),
});

export const resolvedCorpus = z.strictObject({
  id: localName,
  language: languageCode,
  script: scriptCode,
  sha256: sha256Hex,
  bytes: count,
  tokens: count,
  windows: count.describe('Sequences of contextTokens that it holds'),
  share: z.number().min(0).max(1).describe('Of the windows drawn'),
  epochs: z.number().min(0).describe('How often this run passes over it'),
});

/** What the run uses, not what the file said: the factors that the catalogue records. */
export const resolvedEvent = z.strictObject({
  ...eventHead,
  kind: z.literal('resolved'),
  model: z.strictObject({
    family: modelFamily,
    objective: z.enum(['causal', 'masked']),
    hiddenSize: count,
    layers: count,
    heads: count.describe('0 for mamba'),
    contextTokens: count,
    intermediateSize: count,
    tieEmbeddings: z.boolean(),
    vocabSize: count,
    parameters: count,
    parametersWithoutEmbeddings: count,
    config: z.record(z.string(), z.unknown()).describe('config.json as saved'),
  }),
  tokenizer: z.strictObject({
    kind: z.enum(['bpe', 'unigram', 'byte', 'folder']),
    sha256: sha256Hex,
    vocabSize: count,
  }),
  data: z.strictObject({
    manifestSha256: sha256Hex,
    corpora: z.array(resolvedCorpus),
    tokens: count.describe('That the whole run sees'),
  }),
  seeds: z.strictObject({ initialisation: count, dataOrder: count }),
  training: trainingOptions.required(),
  checkpoints: z.strictObject({ steps: z.array(count), resumeEverySteps: count }),
  runtime: runtimeOptions.required(),
  seats: count
    .min(2)
    .optional()
    .describe(
      'Among which the batch is shared, where it is: they decide the bits, however many processes take them',
    ),
  environment: runnerEnvironment,
  flops: z.number().describe('6 × parameters without embeddings × tokens, plus attention'),
});
export type ResolvedEvent = z.infer<typeof resolvedEvent>;

export const checkpointEvent = z.strictObject({
  ...eventHead,
  kind: z.literal('checkpoint'),
  step: count,
  revision: localName.describe('"step1000"'),
  dir: workdirPath.describe('A from_pretrained folder'),
  files: z.array(folderFile),
  tokensSeen: count,
  bytesSeen: count.describe('Bytes of text behind those tokens, by bytes per token of each corpus'),
  loss: z.number().nullable().describe('Nats per token of the last batch; null at step 0'),
  weightsSha256: sha256Hex.describe('Of model.safetensors'),
  chainSha256: sha256Hex.describe('Head of the hash chain of steps'),
});
export type CheckpointEvent = z.infer<typeof checkpointEvent>;

export const runnerEvent = z.discriminatedUnion('kind', [
  z.strictObject({
    ...eventHead,
    kind: z.literal('started'),
    job: z.enum(['train', 'serve', 'capture', 'evaluate']),
    pid: count,
    environment: runnerEnvironment.partial().describe('As far as known before torch is loaded'),
  }),
  resolvedEvent,
  z.strictObject({
    ...eventHead,
    kind: z.literal('progress'),
    phase: z.enum(['inputs', 'tokenizer', 'tokenise', 'train', 'evaluate', 'capture']),
    fraction: z.number().min(0).max(1).describe('Of this phase'),
    step: count.optional().describe('Steps done (train)'),
    loss: z.number().optional().describe('Of the last of these steps, nats per token'),
    losses: z
      .array(z.tuple([count, z.number()]))
      .optional()
      .describe('[step, loss] of every step since the last progress event, so that no step is lost'),
    tokensPerSecond: z.number().optional(),
    tokensSeen: count.optional(),
    bytesSeen: count.optional(),
    remainingSeconds: z.number().optional(),
    modelFlopsUtilisation: z.number().optional().describe('Where the peak of the card is known'),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('tokenizer'),
    dir: workdirPath,
    files: z.array(folderFile),
    sha256: sha256Hex.describe('Of tokenizer.json'),
    vocabSize: count,
    corpora: z.array(
      z.strictObject({
        id: localName,
        language: languageCode,
        script: scriptCode,
        bytesPerToken: z.number(),
        fertility: z.number().describe('Tokens per word, words split at white space'),
      }),
    ),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('manifest'),
    path: workdirPath,
    sha256: sha256Hex.describe('Of the manifest file'),
    bytes: count,
    shards: z.array(z.strictObject({ corpus: localName, tokens: count, sha256: sha256Hex })),
    firstBatches: z.array(sha256Hex),
  }),
  checkpointEvent,
  z.strictObject({
    ...eventHead,
    kind: z.literal('resumable'),
    step: count,
    dir: workdirPath.describe('To continue elsewhere, put its files into WORKDIR/resume/'),
    files: z.array(folderFile),
    chainSha256: sha256Hex,
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('resumed'),
    fromStep: count,
    chainSha256: sha256Hex,
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('evaluation'),
    revision: localName,
    results: z.array(evaluationResult),
    receipt: numericsReceipt,
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('artifact'),
    name: localName,
    path: workdirPath,
    bytes: count,
    sha256: sha256Hex,
    mediaType: z.string(),
    revision: localName.optional(),
    input: localName.optional(),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('ready'),
    host: z.string(),
    port: z.int().min(1).max(65_535),
    revisions: z.array(localName),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('warning'),
    code: z.string(),
    detail: z.string(),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('interrupted'),
    signal: z.string(),
    step: count.nullable().describe('Of the resumable state written; null when the job keeps none'),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('failed'),
    code: z.string().describe('Stable: bad-job, corpus-empty, corpus-changed, disk-full, loss-not-finite …'),
    detail: z.string().describe('One line for a person'),
    field: z.string().optional().describe('Of the job file, as model.heads'),
  }),
  z.strictObject({
    ...eventHead,
    kind: z.literal('done'),
    wallSeconds: z.number(),
    deviceSeconds: z.number().describe('Of this process: wall time on the device × devices'),
    peakMemoryBytes: count,
    step: count.optional(),
    weightsSha256: sha256Hex.optional(),
    optimiserSha256: sha256Hex.optional(),
    chainSha256: sha256Hex.optional(),
    tokensPerSecond: z.number().optional(),
    modelFlopsUtilisation: z.number().optional(),
  }),
]);
export type RunnerEvent = z.infer<typeof runnerEvent>;
