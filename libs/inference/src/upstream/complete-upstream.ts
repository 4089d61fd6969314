import type {
  OpenAiCompletion,
  OpenAiCompletionRequest,
  ProblemCode,
  UpstreamReceipt,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import {
  type CompletionDone,
  completionAnswer,
  completionHead,
  maxTokensOf,
  outputTokensAtMost,
  outputTokensUsed,
  promptsOf,
} from '../openai/completion-wire.js';
import type { Caller, ClosedModel, Metering } from '../ports.js';
import { runMetered } from '../run-metered.js';
import type { UpstreamAnswer } from './upstream-wire.js';
import { choiceOf, type UpstreamCall, type Upstreams, upstreamReceiptOf } from './upstreams.js';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

type Done = CompletionDone<UpstreamReceipt>;

/**
 * A completion of a closed model, under a hold like any other. Settled by what the upstream says was used, never above
 * the hold; an answer that does not say it cannot be settled, so it counts as a failure and is free.
 */
export async function completeUpstream(
  upstreams: Upstreams,
  metering: Metering,
  call: {
    readonly requestId: string;
    readonly caller: Caller;
    readonly target: ClosedModel;
    readonly request: OpenAiCompletionRequest;
    readonly signal: AbortSignal;
    /** For a streamed answer: takes each chunk as it comes. */
    readonly onChunk?: (chunk: OpenAiCompletion) => void;
  },
): Expected<OpenAiCompletion> {
  const { caller, onChunk, request, requestId, signal, target } = call;
  if (request.echo === true && !upstreams.echoesLogprobs(target.upstream)) {
    return err(problem('inference.upstream-unsupported', `${target.upstream} does not score a given text`));
  }
  const head = completionHead(requestId, target);
  const ask: UpstreamCall = { upstream: target.upstream, body: bodyOf(request, target), signal };
  const done = await runMetered(metering, {
    requestId,
    caller,
    target,
    scope: 'outputs',
    unit: 'output_tokens',
    atMost: outputTokensAtMost(request),
    work: () =>
      onChunk === undefined
        ? whole(upstreams, ask, target, request)
        : inParts(upstreams, ask, target, request, (choices) => onChunk({ ...head, choices })),
  });
  if (!done.ok) return done;
  return ok(completionAnswer(head, done.value.value, done.value.usage));
}

/** What goes out: the request without who asked. */
function bodyOf(request: OpenAiCompletionRequest, target: ClosedModel): UpstreamCall['body'] {
  const { echo, logprobs, prompt, seed, stop, temperature, top_p } = request;
  return {
    model: target.upstreamModel,
    prompt,
    max_tokens: maxTokensOf(request),
    temperature: temperature ?? 1,
    top_p: top_p ?? 1,
    ...(logprobs === null || logprobs === undefined ? {} : { logprobs }),
    ...(echo === true ? { echo } : {}),
    ...(seed === null || seed === undefined ? {} : { seed }),
    ...(stop === null || stop === undefined ? {} : { stop }),
  };
}

async function whole(
  upstreams: Upstreams,
  ask: UpstreamCall,
  target: ClosedModel,
  request: OpenAiCompletionRequest,
): Expected<{ value: Done; used: number }> {
  const answer = await upstreams.complete(ask);
  if (!answer.ok) return answer;
  const { choices, usage } = answer.value;
  if (usage === null || choices.length !== promptsOf(request.prompt).length) return unusable(target);
  return ok({
    value: {
      choices: choices.map(choiceOf),
      receipt: upstreamReceiptOf(target, answer.value),
      tokens: usage,
    },
    used: outputTokensUsed(request, usage),
  });
}

async function inParts(
  upstreams: Upstreams,
  ask: UpstreamCall,
  target: ClosedModel,
  request: OpenAiCompletionRequest,
  onChoices: (choices: OpenAiCompletion['choices']) => void,
): Expected<{ value: Done; used: number }> {
  let sentBytes = 0;
  let last: UpstreamAnswer | undefined;
  const streamed = await upstreams.stream(ask, (part) => {
    if (part.usage !== null) last = part;
    if (part.choices.length === 0) return;
    sentBytes += part.choices.reduce((sum, one) => sum + Buffer.byteLength(one.text, 'utf8'), 0);
    onChoices(part.choices.map(choiceOf));
  });
  if (!streamed.ok && ask.signal.aborted) {
    // How many tokens it was sent nobody says any more; as with holds, bytes bound them.
    const tokens = { promptTokens: 0, outputTokens: sentBytes };
    return ok({ value: { choices: [], receipt: undefined, tokens }, used: sentBytes });
  }
  if (!streamed.ok) return streamed;
  if (last === undefined || last.usage === null) return unusable(target);
  return ok({
    value: { choices: [], receipt: upstreamReceiptOf(target, last), tokens: last.usage },
    used: outputTokensUsed(request, last.usage),
  });
}

function unusable(target: ClosedModel): Result<never, Problem<ProblemCode>> {
  return err(
    problem('inference.upstream-failed', `${target.upstream} gave no usable answer; you were not charged`),
  );
}
