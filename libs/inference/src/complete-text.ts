import {
  type CompletionsChunk,
  type CompletionsResponse,
  completionsChunk,
  type NumericsReceipt,
  type OpenAiCompletion,
  type OpenAiCompletionRequest,
  type ProblemCode,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { ModelServing } from './model-serving.js';
import {
  type CompletionDone,
  type CompletionHead,
  completionAnswer,
  completionHead,
  outputTokensAtMost,
  outputTokensUsed,
  toOpenAiChoice,
  toOpenAiLogprobs,
  toRunnerCompletion,
} from './openai/completion-wire.js';
import type { Caller, Metering, ServableRevision, ServerAnswer } from './ports.js';
import { runMetered } from './run-metered.js';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

export interface CompletionCall {
  readonly requestId: string;
  readonly caller: Caller;
  readonly target: ServableRevision;
  readonly request: OpenAiCompletionRequest;
  readonly signal: AbortSignal;
  /** For a streamed answer: takes each chunk as it comes. */
  readonly onChunk?: (chunk: OpenAiCompletion) => void;
}

/** Runs a completion under a hold; with `onChunk` the text is also handed out while it comes. */
export async function completeText(
  serving: ModelServing,
  metering: Metering,
  call: CompletionCall,
): Expected<OpenAiCompletion> {
  const { caller, request, requestId, signal, target } = call;
  const head = completionHead(requestId, target);
  const done = await runMetered(metering, {
    requestId,
    caller,
    target,
    scope: 'outputs',
    unit: 'output_tokens',
    atMost: outputTokensAtMost(request),
    work: async () => {
      const body = toRunnerCompletion(request, target.revision);
      if (call.onChunk === undefined) {
        const answer = await serving.callJson<CompletionsResponse>(target.modelId, {
          method: 'POST',
          path: '/completions',
          body,
          signal,
        });
        if (!answer.ok) return answer;
        const { choices, receipt, usage } = answer.value;
        return ok({
          value: {
            choices: choices.map(toOpenAiChoice),
            receipt: receipt as NumericsReceipt | undefined,
            tokens: usage,
          },
          used: outputTokensUsed(request, usage),
        });
      }
      const answer = await serving.call(target.modelId, {
        method: 'POST',
        path: '/completions',
        body,
        signal,
      });
      if (!answer.ok) return answer;
      const streamed = await relay(answer.value, head, call.onChunk, signal);
      if (!streamed.ok) return streamed;
      return ok({
        value: { choices: [], ...streamed.value },
        used: outputTokensUsed(request, streamed.value.tokens),
      });
    },
  });
  if (!done.ok) return done;
  return ok(completionAnswer(head, done.value.value, done.value.usage));
}

type StreamEnd = Omit<CompletionDone<NumericsReceipt>, 'choices'>;

/**
 * Hands each JSON line of the runner on as an OpenAI chunk. A stream that the runner does not end whole is a
 * failure and free; a client that leaves early pays for what it was sent.
 */
async function relay(
  answer: ServerAnswer,
  head: CompletionHead,
  onChunk: (chunk: OpenAiCompletion) => void,
  signal: AbortSignal,
): Expected<StreamEnd> {
  let sentTokens = 0;
  const leftEarly = (): Result<StreamEnd, never> =>
    ok({ receipt: undefined, tokens: { promptTokens: 0, outputTokens: sentTokens } });
  try {
    for await (const line of linesOf(answer.body)) {
      const chunk: CompletionsChunk = completionsChunk.parse(JSON.parse(line));
      switch (chunk.kind) {
        case 'text':
          sentTokens += chunk.tokenIds.length;
          onChunk({
            ...head,
            choices: [
              {
                index: chunk.index,
                text: chunk.text,
                logprobs: toOpenAiLogprobs(chunk),
                finish_reason: null,
              },
            ],
          });
          break;
        case 'finish':
          onChunk({
            ...head,
            choices: [{ index: chunk.index, text: '', logprobs: null, finish_reason: chunk.finishReason }],
          });
          break;
        case 'end':
          return ok({ receipt: chunk.receipt, tokens: chunk.usage });
        case 'failed':
          return err(problem('inference.runner-failed', `${chunk.problem.detail}; you were not charged`));
      }
    }
  } catch (error) {
    if (signal.aborted) return leftEarly();
    const why = error instanceof Error ? error.message : String(error);
    return err(problem('inference.runner-failed', `The stream broke: ${why}; you were not charged`));
  }
  if (signal.aborted) return leftEarly();
  return err(problem('inference.runner-failed', 'The stream ended early; you were not charged'));
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of body) {
    rest += decoder.decode(part, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield line;
  }
  if (rest.trim() !== '') yield rest;
}
