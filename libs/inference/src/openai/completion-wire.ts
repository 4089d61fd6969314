import type {
  CompletionChoice,
  CompletionsRequest,
  MeteredUsage,
  NumericsReceipt,
  OpenAiCompletion,
  OpenAiCompletionRequest,
  TokenizeResponse,
  UpstreamReceipt,
} from '@beamtime/contracts';

/** OpenAI's default. */
const defaultMaxTokens = 16;
/** UTF-8 bytes per token are at least one for every tokenizer we train, plus one for the start. */
const tokensBeyondBytes = 1;

type Prompt = string | number[];

/** The prompts of a request as a list, whichever of OpenAI's four forms was sent. */
export function promptsOf(prompt: OpenAiCompletionRequest['prompt']): Prompt[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as Prompt[]);
}

export function maxTokensOf(request: OpenAiCompletionRequest): number {
  return request.max_tokens ?? defaultMaxTokens;
}

/** The most tokens a prompt can have, without asking its tokenizer. */
export function promptTokensAtMost(prompt: Prompt): number {
  return typeof prompt === 'string' ? Buffer.byteLength(prompt, 'utf8') + tokensBeyondBytes : prompt.length;
}

/** Output tokens that a request can cost: what it may generate, and with echo what it asks to be scored. */
export function outputTokensAtMost(request: OpenAiCompletionRequest): number {
  const prompts = promptsOf(request.prompt);
  const echoed =
    request.echo === true ? prompts.reduce((sum, prompt) => sum + promptTokensAtMost(prompt), 0) : 0;
  return Math.max(1, prompts.length * maxTokensOf(request) + echoed);
}

/** What a choice cost, by the same rule. */
export function outputTokensUsed(
  request: OpenAiCompletionRequest,
  usage: { promptTokens: number; outputTokens: number },
): number {
  return usage.outputTokens + (request.echo === true ? usage.promptTokens : 0);
}

/** What every chunk and the answer begin with. */
export function completionHead(
  requestId: string,
  target: { readonly modelName: string; readonly revision: string },
): CompletionHead {
  return {
    id: requestId,
    object: 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model: `${target.modelName}@${target.revision}`,
  };
}

export type CompletionHead = Pick<OpenAiCompletion, 'id' | 'object' | 'created' | 'model'>;

/** What a completion came to, whoever computed it. */
export interface CompletionDone<Receipt extends NumericsReceipt | UpstreamReceipt> {
  /** Empty where they were streamed. */
  readonly choices: OpenAiCompletion['choices'];
  /** Absent when the client left before the end. */
  readonly receipt: Receipt | undefined;
  readonly tokens: { readonly promptTokens: number; readonly outputTokens: number };
}

export function completionAnswer(
  head: CompletionHead,
  { choices, receipt, tokens }: CompletionDone<NumericsReceipt | UpstreamReceipt>,
  usage: MeteredUsage,
): OpenAiCompletion {
  return {
    ...head,
    choices,
    usage: {
      prompt_tokens: tokens.promptTokens,
      completion_tokens: tokens.outputTokens,
      total_tokens: tokens.promptTokens + tokens.outputTokens,
    },
    ...(receipt === undefined ? {} : { beamtime: { receipt, usage } }),
  };
}

export function toRunnerCompletion(request: OpenAiCompletionRequest, revision: string): CompletionsRequest {
  const stop = request.stop === null || request.stop === undefined ? undefined : [request.stop].flat();
  return {
    revision,
    prompts: promptsOf(request.prompt),
    maxTokens: maxTokensOf(request),
    temperature: request.temperature ?? 1,
    topP: request.top_p ?? 1,
    logprobs: request.logprobs ?? null,
    echo: request.echo ?? false,
    // Any integer is a seed to OpenAI; the runner takes 32 bits.
    ...(request.seed === null || request.seed === undefined ? {} : { seed: request.seed >>> 0 }),
    ...(stop === undefined ? {} : { stop }),
    stream: request.stream ?? false,
  };
}

type Tokens = Pick<CompletionChoice, 'tokens' | 'tokenLogprobs' | 'topLogprobs' | 'textOffsets'>;

/** Log-probabilities in the shape that lm-eval reads; null when none were asked for. */
export function toOpenAiLogprobs(tokens: Tokens): OpenAiCompletion['choices'][number]['logprobs'] {
  if (tokens.tokenLogprobs === null) return null;
  return {
    tokens: tokens.tokens,
    token_logprobs: tokens.tokenLogprobs,
    top_logprobs: tokens.tokens.map((_, i) => {
      const alternatives = tokens.topLogprobs?.[i];
      if (alternatives === null || alternatives === undefined) return null;
      // Two ids may print alike: the more probable one, which comes first, keeps the name.
      const map: Record<string, number> = {};
      for (const { token, logprob } of alternatives) map[token] ??= logprob;
      return map;
    }),
    text_offset: tokens.textOffsets,
  };
}

export function toOpenAiChoice(choice: CompletionChoice): OpenAiCompletion['choices'][number] {
  return {
    index: choice.index,
    text: choice.text,
    logprobs: toOpenAiLogprobs(choice),
    finish_reason: choice.finishReason,
  };
}

export function tokenizeAnswer(response: TokenizeResponse) {
  const [result] = response.results;
  return {
    tokens: result?.tokenIds ?? [],
    count: result?.tokenIds.length ?? 0,
    max_model_len: response.contextTokens,
    token_strs: result?.tokens ?? [],
  };
}
