import { z } from 'zod';

/**
 * What an upstream may say, whole or in parts, in OpenAI's shape. It is not ours, so all of it is checked; what it
 * adds is dropped.
 */
const tokens = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).nullish(),
  text_offset: z.array(z.int().min(0)).default([]),
});

export const upstreamAnswer = z.object({
  model: z
    .string()
    .max(200)
    .nullish()
    .transform((name) => name ?? null),
  choices: z.array(
    z.object({
      index: z.int().min(0),
      text: z.string(),
      logprobs: tokens.nullish().transform((given) => given ?? null),
      finish_reason: z
        .enum(['length', 'stop', 'content_filter'])
        .nullish()
        .transform((reason) => reason ?? null),
    }),
  ),
  usage: z
    .object({ prompt_tokens: z.int().min(0), completion_tokens: z.int().min(0).default(0) })
    .nullish()
    .transform((used) =>
      used ? { promptTokens: used.prompt_tokens, outputTokens: used.completion_tokens } : null,
    ),
});
export type UpstreamAnswer = z.output<typeof upstreamAnswer>;
