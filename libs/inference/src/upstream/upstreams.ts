import type { OpenAiCompletion, ProblemCode, UpstreamReceipt } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import OpenAI from 'openai';
import { boundedFetch } from './bounded-fetch.js';
import { type UpstreamAnswer, upstreamAnswer } from './upstream-wire.js';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

/** A service that speaks OpenAI's protocol, as the operator has configured it. */
export interface UpstreamSettings {
  /** Up to and with `/v1`. */
  readonly baseUrl: string;
  /** Absent: it needs none. */
  readonly apiKey: string | undefined;
  /** For the whole answer, also a streamed one. */
  readonly timeoutMs: number;
  /** Whether it scores a given text. */
  readonly echoesLogprobs: boolean;
}

/** Where operators read what users are not told. It is never given what an upstream said, nor a key. */
export interface UpstreamLog {
  warn(facts: Readonly<Record<string, unknown>>, message: string): void;
}

export interface UpstreamCall {
  /** The operator's name for who is asked. */
  readonly upstream: string;
  readonly body: OpenAI.Completions.CompletionCreateParamsNonStreaming;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
}

/** Asks the services behind closed models. Their answers are checked; why they failed becomes one of our codes. */
export class Upstreams {
  constructor(
    private readonly settings: Readonly<Record<string, UpstreamSettings>>,
    private readonly log: UpstreamLog,
  ) {}

  echoesLogprobs(upstream: string): boolean {
    return this.settings[upstream]?.echoesLogprobs === true;
  }

  /** One completion, whole. It is never sent twice: who answers bills each time. */
  complete(call: UpstreamCall): Expected<UpstreamAnswer> {
    return this.ask(call, async (client, signal) =>
      upstreamAnswer.parse(await client.completions.create(call.body, { signal })),
    );
  }

  /** Hands on each part as it comes; ends with all of them read, or when the client has gone. */
  stream(call: UpstreamCall, onPart: (part: UpstreamAnswer) => void): Expected<void> {
    return this.ask(call, async (client, signal) => {
      const parts = await client.completions.create(
        { ...call.body, stream: true, stream_options: { include_usage: true } },
        { signal },
      );
      for await (const part of parts) onPart(upstreamAnswer.parse(part));
      // The client of the protocol ends quietly when it is aborted.
      signal.throwIfAborted();
    });
  }

  private async ask<T>(
    call: UpstreamCall,
    work: (client: OpenAI, signal: AbortSignal) => Promise<T>,
  ): Expected<T> {
    const settings = Object.hasOwn(this.settings, call.upstream) ? this.settings[call.upstream] : undefined;
    if (settings === undefined) {
      this.log.warn({ upstream: call.upstream }, 'a closed model needs an upstream that is not configured');
      return err(
        problem('inference.upstream-unavailable', `${call.upstream} is not configured; tell the operators`),
      );
    }
    const deadline = AbortSignal.timeout(settings.timeoutMs);
    const signal = AbortSignal.any([call.signal, deadline]);
    try {
      return ok(await work(clientOf(settings, signal), signal));
    } catch (error) {
      const status = error instanceof OpenAI.APIError ? (error.status as number | undefined) : undefined;
      const failed = problemOf(error, status, call.upstream, deadline.aborted);
      if (!call.signal.aborted) {
        this.log.warn({ upstream: call.upstream, status, code: failed.code }, 'an upstream failed');
      }
      return err(failed);
    }
  }
}

function clientOf(settings: UpstreamSettings, signal: AbortSignal): OpenAI {
  return new OpenAI({
    baseURL: settings.baseUrl,
    apiKey: settings.apiKey ?? 'none',
    ...(settings.apiKey === undefined ? { defaultHeaders: { authorization: null } } : {}),
    // Only what the operator has configured goes out, not what else stands in the environment.
    adminAPIKey: null,
    organization: null,
    project: null,
    maxRetries: 0,
    timeout: settings.timeoutMs,
    logLevel: 'off',
    fetch: boundedFetch(signal),
  });
}

/** Statuses with which an upstream says that the facility, not the request, is at fault. */
const facilityAtFault = new Set([401, 402, 403]);
const notCharged = 'you were not charged';

function problemOf(
  error: unknown,
  status: number | undefined,
  upstream: string,
  isLate: boolean,
): Problem<ProblemCode> {
  if (isLate || error instanceof OpenAI.APIConnectionTimeoutError) {
    return problem('inference.upstream-unavailable', `${upstream} did not answer in time; ${notCharged}`);
  }
  if (error instanceof OpenAI.APIConnectionError || error instanceof OpenAI.APIUserAbortError) {
    return problem('inference.upstream-unavailable', `${upstream} cannot be reached; ${notCharged}`);
  }
  if (status === undefined) {
    return problem('inference.upstream-failed', `${upstream} gave no usable answer; ${notCharged}`);
  }
  if (status === 429) {
    return problem('inference.upstream-limited', `${upstream} takes no more requests now; ${notCharged}`);
  }
  if (status >= 500) {
    return problem('inference.upstream-unavailable', `${upstream} failed with ${status}; ${notCharged}`);
  }
  if (facilityAtFault.has(status)) {
    return problem(
      'inference.upstream-unavailable',
      `${upstream} does not admit the facility (${status}); tell the operators. ${notCharged}`,
    );
  }
  return problem('inference.upstream-refused', `${upstream} refused this with ${status}; ${notCharged}`);
}

/** What can be said of an answer whose numerics nobody here knows. */
export function upstreamReceiptOf(
  target: { readonly provider: string; readonly upstream: string; readonly upstreamModel: string },
  answer: Pick<UpstreamAnswer, 'model'>,
): UpstreamReceipt {
  const { provider, upstream, upstreamModel } = target;
  return {
    numerics: 'unknown',
    provider,
    upstream,
    upstreamModel,
    answeredModel: answer.model,
    answeredAt: new Date().toISOString(),
  };
}

/** A choice of an upstream as our own models give it. */
export function choiceOf(choice: UpstreamAnswer['choices'][number]): OpenAiCompletion['choices'][number] {
  const { index, text, logprobs, finish_reason } = choice;
  if (logprobs === null) return { index, text, logprobs, finish_reason };
  const { tokens, token_logprobs, text_offset, top_logprobs } = logprobs;
  return {
    index,
    text,
    finish_reason,
    logprobs: { tokens, token_logprobs, text_offset, top_logprobs: top_logprobs ?? tokens.map(() => null) },
  };
}
