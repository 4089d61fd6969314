import { z } from 'zod';
import { halvedGpus, isHalving } from './halved-gpus.js';
import { languageCode, scriptCode } from './runner-job.js';

/**
 * A controlled suite as a factorial design. The factors' levels make a grid of cells; each cell is one model to
 * be trained. Everything that is not a factor is held equal over all cells.
 */
export const architectureFamilies = ['gpt-neox', 'llama', 'gpt2', 'bert', 'mamba'] as const;

/** Upper bounds that no honest design reaches; a form or a typing error does. */
export const suiteLimits = { cells: 10_000, levelsPerFactor: 400, steps: 10_000_000 } as const;

const levelName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/)
  .describe('Short name, part of the model name');

export const sizeLevelSchema = z.strictObject({
  name: levelName,
  layers: z.number().int().min(1).max(200),
  hiddenSize: z.number().int().min(8).max(32_768),
  heads: z.number().int().min(1).max(256),
  intermediateSize: z
    .number()
    .int()
    .min(8)
    .max(262_144)
    .optional()
    .describe('Width of the MLP; 4 × hiddenSize if absent'),
});

export const languageLevelSchema = z.strictObject({
  name: levelName,
  language: languageCode,
  script: scriptCode,
  corpusId: z
    .string()
    .max(60)
    .describe(
      'Id (cor_…) or name of a registered corpus; `beamtime suite train --local` takes files of these names',
    ),
  heldOutCorpusId: z.string().max(60).optional().describe('Corpus for bits per byte; never trained on'),
  bytePremium: z
    .number()
    .min(0.1)
    .max(20)
    .optional()
    .describe(
      'Bytes that this language takes for what the reference language says in one; scales its steps where training.tokenBudget is byte-premium',
    ),
});

export const tokenizerLevelSchema = z.strictObject({
  name: levelName,
  kind: z.enum(['bpe', 'unigram', 'byte']),
  vocabSize: z
    .number()
    .int()
    .min(258)
    .max(1_000_000)
    .default(258)
    .describe('Tokens, the 256 bytes and two special ones among them; a byte tokenizer has no others'),
  scope: z
    .enum(['shared', 'per-language'])
    .default('shared')
    .describe('Trained on all languages of the suite together, or on each'),
});

export const suiteDesignSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{1,59}$/)
      .describe('Lower case, part of every model name'),
    title: z.string().trim().min(1).max(200),
    description: z.string().trim().max(20_000).default(''),
    factors: z.strictObject({
      family: z.array(z.enum(architectureFamilies)).min(1).max(suiteLimits.levelsPerFactor),
      size: z.array(sizeLevelSchema).min(1).max(suiteLimits.levelsPerFactor),
      language: z.array(languageLevelSchema).min(1).max(suiteLimits.levelsPerFactor),
      tokenizer: z.array(tokenizerLevelSchema).min(1).max(suiteLimits.levelsPerFactor),
      initialisationSeed: z.array(z.number().int().nonnegative()).min(1).max(suiteLimits.levelsPerFactor),
      dataOrderSeed: z.array(z.number().int().nonnegative()).min(1).max(suiteLimits.levelsPerFactor),
      steps: z.array(z.number().int().min(1).max(suiteLimits.steps)).min(1).max(suiteLimits.levelsPerFactor),
    }),
    /** Cells to leave out: each entry matches the cells that have all the levels it names. */
    exclude: z
      .array(z.record(z.string(), z.union([z.string(), z.number()])))
      .max(1_000)
      .default([]),
    training: z.strictObject({
      contextTokens: z.number().int().min(8).max(131_072),
      batchSize: z.number().int().min(1).max(65_536).describe('Sequences per step'),
      tokenBudget: z
        .enum(['equal', 'byte-premium'])
        .default('equal')
        .describe(
          'equal: every language gets the steps of its cell; byte-premium: that many times its byte premium, so that all see about the same content',
        ),
      learningRate: z.number().positive().max(1),
      schedule: z.enum(['constant', 'linear', 'cosine']).default('cosine'),
      warmupSteps: z.number().int().nonnegative().default(0),
      weightDecay: z.number().min(0).max(1).default(0.1),
      dtype: z.enum(['float32', 'bfloat16']).default('float32'),
    }),
    checkpoints: z
      .union([z.enum(['log2', 'pythia']), z.array(z.number().int().nonnegative()).min(1).max(2_000)])
      .default('log2'),
    resources: z
      .strictObject({
        gpus: z
          .number()
          .int()
          .min(1)
          .max(4_096)
          .default(1)
          .describe('GPUs per model, one gang within one cluster'),
        gpusMin: z
          .number()
          .int()
          .min(1)
          .max(4_096)
          .optional()
          .describe(
            'Makes trainings elastic: gpus halved once or several times, with no fewer of which they run; the weights are the same',
          ),
        gpuType: z.string().max(60).optional(),
        utilisation: z
          .number()
          .min(0.01)
          .max(1)
          .default(0.35)
          .describe('Assumed model FLOPs utilisation of the cost estimate'),
        gpuPeakFlops: z
          .number()
          .positive()
          .default(312e12)
          .describe('Peak FLOP/s of one GPU of the cost estimate'),
        maxSecondsPerModel: z
          .number()
          .int()
          .min(1)
          .max(31_536_000)
          .default(86_400)
          .describe('Time bound of one training job'),
        overheadSecondsPerModel: z
          .number()
          .int()
          .min(0)
          .max(86_400)
          .default(30)
          .describe(
            'Device time of one job besides training, for the cost estimate: start, tokenising, checkpoints',
          ),
      })
      .refine(({ gpus, gpusMin = gpus }) => isHalving(gpus, gpusMin), halvedGpus)
      .default({
        gpus: 1,
        utilisation: 0.35,
        gpuPeakFlops: 312e12,
        maxSecondsPerModel: 86_400,
        overheadSecondsPerModel: 30,
      }),
  })
  .meta({ id: 'SuiteDesign' });
export type SuiteDesign = z.output<typeof suiteDesignSchema>;
export type SuiteDesignInput = z.input<typeof suiteDesignSchema>;
