/**
 * The HTTP wire of `beamtime_runner serve`. It listens on 127.0.0.1, and each call but GET /health carries
 * `Authorization: Bearer $BEAMTIME_SERVE_TOKEN`, a secret of this process that whoever started it chose.
 * Bodies are JSON, except POST /capture, which answers with a safetensors file. Every answer carries a
 * numerics receipt. Each prompt is computed by itself, so an answer does not depend on its batch.
 *
 * | call | request | answer |
 * |---|---|---|
 * | GET /health | | serveHealth |
 * | POST /completions | completionsRequest | completionsResponse, or completionsChunk lines with stream |
 * | POST /embeddings | embeddingsRequest | embeddingsResponse |
 * | POST /tokenize, /detokenize | tokenizeRequest, detokenizeRequest | …Response |
 * | GET /tokenizer_info?revision= | | tokenizerInfo |
 * | POST /surprisal | surprisalRequest | surprisalResponse |
 * | POST /capture/estimate | captureRequest | captureEstimate |
 * | POST /capture | captureRequest | safetensors, with the headers in captureHeaders |
 *
 * A refusal is `serveProblem` with 400 (malformed), 401, 404 (no such revision or call), 413 (too large),
 * 422 (cannot be done with this model), or 503 (cannot load now).
 */
import { z } from 'zod';
import { numericsReceipt } from './runner-event.js';
import { captureDtype, capturePositions, localName, sitePattern } from './runner-job.js';

/** Limits of one request to a runner; the gateway may set lower ones. */
export const serveLimits = {
  bodyBytes: 16 * 1024 * 1024,
  prompts: 256,
  promptChars: 4 * 1024 * 1024,
  maxTokens: 32_768,
  logprobs: 100,
  stops: 16,
  texts: 256,
  spans: 100_000,
  sites: 1_000,
} as const;

/** Environment variable that holds the bearer token. */
export const serveTokenVariable = 'BEAMTIME_SERVE_TOKEN';

const count = z.int().min(0);
const revision = localName.optional().describe('By default the default revision of the job');
const tokenIds = z.array(count).max(serveLimits.promptChars);
const text = z.string().max(serveLimits.promptChars);

export const serveProblem = z.strictObject({
  code: z.string().describe('bad-request, unauthorised, unknown-revision, context-exceeded, too-large …'),
  detail: z.string(),
  field: z.string().optional(),
});
export type ServeProblem = z.infer<typeof serveProblem>;

export const serveHealth = z.strictObject({
  status: z.literal('ok'),
  jobId: z.string(),
  attempt: z.int().min(1),
  revisions: z.array(z.strictObject({ revision: localName, loaded: z.boolean() })),
  defaultRevision: localName,
  device: z.string(),
  dtype: z.string(),
});
export type ServeHealth = z.infer<typeof serveHealth>;

// ---------------------------------------------------------------- completions

export const completionsRequest = z.strictObject({
  revision,
  prompts: z
    .array(z.union([tokenIds.min(1), text]))
    .min(1)
    .max(serveLimits.prompts)
    .describe('Each a text or its token ids; the empty text stands for the end-of-text token'),
  maxTokens: count
    .max(serveLimits.maxTokens)
    .optional()
    .describe('Tokens to generate; 0 with echo scores only. Default 16'),
  temperature: z.number().min(0).max(10).optional().describe('0 is greedy; default 1'),
  topP: z.number().gt(0).max(1).optional().describe('Default 1'),
  logprobs: count
    .max(serveLimits.logprobs)
    .nullable()
    .optional()
    .describe("Alternatives per token; null, the default, gives none; 0 only the token's own"),
  echo: z.boolean().optional().describe('Whether the prompt comes first in the answer; default false'),
  seed: z
    .int()
    .min(0)
    .max(4_294_967_295)
    .optional()
    .describe('Default 0: the same request gets the same answer'),
  stop: z.array(z.string().min(1)).max(serveLimits.stops).optional(),
  stream: z.boolean().optional().describe('Answer in JSON lines of completionsChunk; default false'),
});
export type CompletionsRequest = z.infer<typeof completionsRequest>;

export const tokenAlternative = z.strictObject({ tokenId: count, token: z.string(), logprob: z.number() });

const completionTokens = {
  text: z.string(),
  tokenIds: z.array(count),
  tokens: z.array(z.string()).describe('Text of each token; "bytes:\\xe4" when it is no whole character'),
  textOffsets: z.array(count).describe('Where each token begins in text, in code points'),
  tokenLogprobs: z
    .array(z.number().nullable())
    .nullable()
    .describe('Natural logarithm; null for the first token of an echoed prompt'),
  topLogprobs: z.array(z.array(tokenAlternative).nullable()).nullable().describe('Most probable first'),
};

export const completionChoice = z.strictObject({
  index: count.describe('Of the prompt'),
  ...completionTokens,
  finishReason: z.enum(['length', 'stop']),
  promptTokens: count,
  outputTokens: count,
});
export type CompletionChoice = z.infer<typeof completionChoice>;

export const usage = z.strictObject({ promptTokens: count, outputTokens: count });

export const completionsResponse = z.strictObject({
  choices: z.array(completionChoice),
  usage,
  receipt: numericsReceipt,
});
export type CompletionsResponse = z.infer<typeof completionsResponse>;

/** One line of a streamed answer: text as it comes, each choice's end, and last of all the receipt. */
export const completionsChunk = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('text'), index: count, ...completionTokens }),
  z.strictObject({ kind: z.literal('finish'), index: count, finishReason: z.enum(['length', 'stop']) }),
  z.strictObject({ kind: z.literal('end'), usage, receipt: numericsReceipt }),
  z.strictObject({ kind: z.literal('failed'), problem: serveProblem }),
]);
export type CompletionsChunk = z.infer<typeof completionsChunk>;

export const embeddingsRequest = z.strictObject({
  revision,
  inputs: z
    .array(z.union([tokenIds.min(1), text.min(1)]))
    .min(1)
    .max(serveLimits.prompts),
  pooling: z.enum(['mean', 'last']).optional().describe('Over the last layer; default mean'),
});
export type EmbeddingsRequest = z.infer<typeof embeddingsRequest>;
export const embeddingsResponse = z.strictObject({
  embeddings: z.array(z.array(z.number())),
  usage,
  receipt: numericsReceipt,
});
export type EmbeddingsResponse = z.infer<typeof embeddingsResponse>;

// ---------------------------------------------------------------- tokens

export const tokenizeRequest = z.strictObject({
  revision,
  texts: z.array(text).min(1).max(serveLimits.texts),
});
export type TokenizeRequest = z.infer<typeof tokenizeRequest>;
export const tokenizeResponse = z.strictObject({
  results: z.array(
    z.strictObject({
      tokenIds: z.array(count),
      tokens: z.array(z.string()),
      offsets: z.array(z.tuple([count, count])).describe('Start and end in code points'),
    }),
  ),
  contextTokens: count,
  receipt: numericsReceipt,
});
export type TokenizeResponse = z.infer<typeof tokenizeResponse>;

export const detokenizeRequest = z.strictObject({
  revision,
  tokenIds: z.array(tokenIds).min(1).max(serveLimits.texts),
});
export type DetokenizeRequest = z.infer<typeof detokenizeRequest>;
export const detokenizeResponse = z.strictObject({ texts: z.array(z.string()), receipt: numericsReceipt });
export type DetokenizeResponse = z.infer<typeof detokenizeResponse>;

export const tokenizerInfo = z.strictObject({
  tokenizerClass: z.string(),
  vocabSize: count,
  contextTokens: count,
  eosToken: z.string().nullable(),
  eosTokenId: count.nullable(),
  bosToken: z.string().nullable(),
  padToken: z.string().nullable(),
  maskToken: z.string().nullable(),
  chatTemplate: z.string().nullable(),
  receipt: numericsReceipt,
});
export type TokenizerInfo = z.infer<typeof tokenizerInfo>;

// ---------------------------------------------------------------- surprisal

export const surprisalRequest = z.strictObject({
  revision,
  items: z
    .array(
      z.strictObject({
        text: text.min(1),
        spans: z
          .array(z.tuple([count, count]))
          .max(serveLimits.spans)
          .optional()
          .describe('With unit span: start and end in code points; ends snap to whole tokens or are refused'),
      }),
    )
    .min(1)
    .max(serveLimits.texts),
  unit: z
    .enum(['token', 'word', 'character', 'span'])
    .optional()
    .describe('Default word: split at white space'),
  base: z.enum(['2', 'e']).optional().describe('Default 2, bits'),
  wordCorrection: z
    .boolean()
    .optional()
    .describe('Beginning-of-word correction (Pimentel & Meister 2024) for words; default true'),
  entropy: z
    .boolean()
    .optional()
    .describe('Entropy of the prediction at the first token of each unit; default false'),
  rank: z
    .boolean()
    .optional()
    .describe('Rank of the first token of each unit, 1 the most probable; default false'),
});
export type SurprisalRequest = z.infer<typeof surprisalRequest>;

export const surprisalUnit = z.strictObject({
  start: count,
  end: count,
  text: z.string(),
  surprisal: z.number(),
  tokenIds: z.array(count),
  entropy: z.number().optional(),
  rank: z.int().min(1).optional(),
});
export type SurprisalUnit = z.infer<typeof surprisalUnit>;
export const surprisalResponse = z.strictObject({
  items: z.array(
    z.strictObject({ units: z.array(surprisalUnit), total: z.number(), bytes: count, tokens: count }),
  ),
  base: z.enum(['2', 'e']),
  usage,
  receipt: numericsReceipt,
});
export type SurprisalResponse = z.infer<typeof surprisalResponse>;

// ---------------------------------------------------------------- capture

export const captureRequest = z.strictObject({
  revision,
  input: z.union([z.strictObject({ text: text.min(1) }), z.strictObject({ tokenIds: tokenIds.min(1) })]),
  sites: z.array(sitePattern).min(1).max(serveLimits.sites),
  positions: capturePositions.optional().describe('Default all'),
  dtype: captureDtype.optional().describe('Default float32'),
});
export type CaptureRequest = z.infer<typeof captureRequest>;

/** Exact, and known before the model runs: what the gateway holds. */
export const captureEstimate = z.strictObject({
  activationBytes: count.describe('Of all tensors together, as they will be'),
  tensors: z.array(
    z.strictObject({ site: z.string(), dtype: captureDtype, shape: z.array(count), bytes: count }),
  ),
  tokens: count,
  flops: z.number(),
  receipt: numericsReceipt,
});
export type CaptureEstimate = z.infer<typeof captureEstimate>;

/** Headers of the answer to POST /capture; the file's own metadata repeats receipt and tokens. */
export const captureHeaders = {
  activationBytes: 'x-beamtime-activation-bytes',
  /** JSON of numericsReceipt. */
  receipt: 'x-beamtime-receipt',
} as const;
