/**
 * What models say, in OpenAI's wire format where it has one. The same routes exist under `/m/{model}/v1`, because
 * some clients (lm-eval) call tokenizer routes without naming the model; `{model}` is `name` or `name@revision`.
 */
import { z } from 'zod';
import { type EndpointSpec, endpoint } from './endpoint.js';
import { numericsReceipt } from './runner-event.js';
import { serveLimits, surprisalRequest, surprisalResponse } from './runner-serve.js';

export const modelText = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?$/,
    'a model name, or name@revision',
  )
  .describe('Model name, or name@revision (revision: main or step1000)');
const modelPath = z.object({ model: modelText });
const tokenIds = z.array(z.int().min(0)).min(1);

/** Prompts may be long lists of token ids: larger than other bodies, smaller than what hurts. */
const promptBodyBytes = serveLimits.bodyBytes;

export const openAiCompletionRequest = z.object({
  model: modelText.optional().describe('May be left out under /m/{model}/v1'),
  prompt: z
    .union([
      z.string(),
      z.array(z.string()).min(1).max(serveLimits.prompts),
      tokenIds,
      z.array(tokenIds).min(1).max(serveLimits.prompts),
    ])
    .describe('A text, texts, token ids, or a batch of token ids'),
  max_tokens: z
    .int()
    .min(0)
    .max(serveLimits.maxTokens)
    .nullish()
    .describe('0 with echo scores the prompt only; default 16'),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  logprobs: z.int().min(0).max(serveLimits.logprobs).nullish(),
  echo: z.boolean().nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(serveLimits.stops)]).nullish(),
  stream: z.boolean().nullish(),
  n: z.literal(1, 'only n = 1 is offered; repeat the prompt instead').nullish(),
  user: z.string().max(200).nullish(),
});
export type OpenAiCompletionRequest = z.output<typeof openAiCompletionRequest>;

export const openAiUsage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
export const openAiLogprobs = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  text_offset: z.array(z.int()),
});
/** What was held and posted for a request. */
export const meteredUsage = z.object({
  requestId: z.string(),
  allocationId: z.string(),
  unit: z.enum(['output_tokens', 'activation_bytes']),
  held: z.int(),
  posted: z.int(),
});
export type MeteredUsage = z.output<typeof meteredUsage>;

/** Instead of numerics, which nobody but the upstream knows: who was asked for what, and when. */
export const upstreamReceipt = z.strictObject({
  numerics: z.literal('unknown'),
  provider: z.string().describe('The lab or company that offers the model'),
  upstream: z.string().describe("The operator's name for who was asked"),
  upstreamModel: z.string().describe('What was asked for'),
  answeredModel: z.string().nullable().describe('What the upstream says answered'),
  answeredAt: z.iso.datetime(),
});
export type UpstreamReceipt = z.output<typeof upstreamReceipt>;

export const openAiCompletion = z.object({
  id: z.string(),
  object: z.literal('text_completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      text: z.string(),
      logprobs: openAiLogprobs.nullable(),
      finish_reason: z
        .enum(['length', 'stop', 'content_filter'])
        .nullable()
        .describe('content_filter: an upstream cut it'),
    }),
  ),
  usage: openAiUsage.optional(),
  beamtime: z
    .object({ receipt: z.union([numericsReceipt, upstreamReceipt]), usage: meteredUsage })
    .optional(),
});
export type OpenAiCompletion = z.output<typeof openAiCompletion>;

export const openAiModel = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
});

export const openAiEmbeddingsRequest = z.object({
  model: modelText.optional(),
  input: z.union([
    z.string().min(1),
    z.array(z.string().min(1)).min(1).max(serveLimits.prompts),
    tokenIds,
    z.array(tokenIds).min(1).max(serveLimits.prompts),
  ]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
});
export const openAiEmbeddings = z.object({
  object: z.literal('list'),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal('embedding'),
      index: z.int(),
      embedding: z.union([z.array(z.number()), z.string()]),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
  beamtime: z.object({ receipt: numericsReceipt, usage: meteredUsage }),
});

const outputsAccess = { kind: 'api-key', scope: 'outputs' } as const;
const outputErrors = [
  'access.insufficient-units',
  'access.allocation-inactive',
  'access.model-not-granted',
  'access.policy-denied',
  'auth.scope-missing',
  'resource.not-found',
  'inference.model-warming-up',
  'inference.model-unavailable',
  'inference.context-exceeded',
  'inference.runner-failed',
  'catalogue.behaviour-only',
] as const;
const behaviourErrors = [
  ...outputErrors,
  'inference.upstream-unsupported',
  'inference.upstream-refused',
  'inference.upstream-limited',
  'inference.upstream-unavailable',
  'inference.upstream-failed',
] as const;

export const listServedModels = endpoint({
  id: 'outputs.models',
  method: 'GET',
  path: '/v1/models',
  access: outputsAccess,
  summary: 'The models that this key may ask',
  response: z.object({ object: z.literal('list'), data: z.array(openAiModel) }),
});

export const createCompletion = endpoint({
  id: 'outputs.completions',
  method: 'POST',
  path: '/v1/completions',
  access: outputsAccess,
  summary: "Completions and log-probabilities, as OpenAI's API has them",
  description:
    'Holds max_tokens per prompt (with echo also the prompt, whose log-probabilities are outputs) before it runs, and posts what came out. With `stream` the answer is a stream of server-sent events. A closed model answers through its upstream, which says what was used; its receipt says that its numerics are unknown.',
  body: openAiCompletionRequest,
  response: openAiCompletion,
  errors: behaviourErrors,
  bodyLimitBytes: promptBodyBytes,
});

export const createEmbeddings = endpoint({
  id: 'outputs.embeddings',
  method: 'POST',
  path: '/v1/embeddings',
  access: outputsAccess,
  summary: 'The last layer, pooled over each input',
  description: 'Costs one output token per input token.',
  body: openAiEmbeddingsRequest,
  response: openAiEmbeddings,
  errors: outputErrors,
  bodyLimitBytes: promptBodyBytes,
});

export const computeSurprisal = endpoint({
  id: 'outputs.surprisal',
  method: 'POST',
  path: '/v1/surprisal',
  access: outputsAccess,
  summary: 'Surprisal per token, word, character or span, with the beginning-of-word correction',
  description:
    'Pimentel & Meister 2024. Costs one output token per token of text. A closed model has it per token only, from the second token of a text on, and only where its upstream echoes log-probabilities.',
  body: surprisalRequest.omit({ revision: true }).extend({ model: modelText.optional() }),
  response: surprisalResponse.extend({
    receipt: z.union([numericsReceipt, upstreamReceipt]),
    usage: meteredUsage,
  }),
  errors: behaviourErrors,
  bodyLimitBytes: promptBodyBytes,
});

export const tokenizeText = endpoint({
  id: 'outputs.tokenize',
  method: 'POST',
  path: '/v1/tokenize',
  access: outputsAccess,
  summary: 'The token ids of a text; costs nothing',
  body: z.object({
    model: modelText.optional(),
    text: z.string().max(1_000_000).optional(),
    prompt: z.string().max(1_000_000).optional(),
    add_special_tokens: z.boolean().optional(),
  }),
  response: z.object({
    tokens: z.array(z.int()),
    count: z.int(),
    max_model_len: z.int(),
    token_strs: z.array(z.string()),
  }),
  errors: outputErrors,
  bodyLimitBytes: promptBodyBytes,
});

export const detokenizeIds = endpoint({
  id: 'outputs.detokenize',
  method: 'POST',
  path: '/v1/detokenize',
  access: outputsAccess,
  summary: 'The text of token ids; costs nothing',
  body: z.object({ model: modelText.optional(), tokens: tokenIds.max(1_000_000) }),
  response: z.object({ prompt: z.string(), text: z.string() }),
  errors: outputErrors,
  bodyLimitBytes: promptBodyBytes,
});

export const describeTokenizer = endpoint({
  id: 'outputs.tokenizerInfo',
  method: 'GET',
  path: '/v1/tokenizer_info',
  access: outputsAccess,
  summary: 'Class, size and special tokens of the tokenizer',
  query: z.object({ model: modelText.optional() }),
  response: z.object({
    tokenizer_class: z.string(),
    vocab_size: z.int(),
    model_max_length: z.int(),
    eos_token: z.string().nullable(),
    bos_token: z.string().nullable(),
    pad_token: z.string().nullable(),
    chat_template: z.string().nullable(),
  }),
  errors: outputErrors,
});

/** The same endpoint under `/m/{model}`, where the model need not be named again. */
function underModel<const E extends EndpointSpec>(spec: E): E & { readonly params: typeof modelPath } {
  return { ...spec, id: `${spec.id}.ofModel`, path: `/m/:model${spec.path}`, params: modelPath };
}
export const createCompletionOfModel = underModel(createCompletion);
export const createEmbeddingsOfModel = underModel(createEmbeddings);
export const computeSurprisalOfModel = underModel(computeSurprisal);
export const tokenizeTextOfModel = underModel(tokenizeText);
export const detokenizeIdsOfModel = underModel(detokenizeIds);
export const describeTokenizerOfModel = underModel(describeTokenizer);
