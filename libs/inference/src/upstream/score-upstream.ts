import type {
  MeteredUsage,
  ProblemCode,
  SurprisalRequest,
  SurprisalResponse,
  UpstreamReceipt,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { promptTokensAtMost } from '../openai/completion-wire.js';
import type { Caller, ClosedModel, Metering } from '../ports.js';
import { runMetered } from '../run-metered.js';
import type { UpstreamAnswer } from './upstream-wire.js';
import { type Upstreams, upstreamReceiptOf } from './upstreams.js';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;
type Scored = SurprisalResponse['items'][number];
export type UpstreamSurprisal = Pick<SurprisalResponse, 'items' | 'base'> & {
  readonly receipt: UpstreamReceipt;
};

/**
 * Surprisal of each token of each text under a closed model, as its upstream echoes log-probabilities. Words need the
 * whole prediction (Pimentel & Meister 2024), which upstreams do not give; the first token has no context there.
 */
export async function scoreUpstream(
  upstreams: Upstreams,
  metering: Metering,
  call: {
    readonly requestId: string;
    readonly caller: Caller;
    readonly target: ClosedModel;
    readonly request: Omit<SurprisalRequest, 'revision'>;
    readonly signal: AbortSignal;
  },
): Expected<{ value: UpstreamSurprisal; usage: MeteredUsage }> {
  const { caller, request, requestId, signal, target } = call;
  if (!upstreams.echoesLogprobs(target.upstream)) {
    return err(problem('inference.upstream-unsupported', `${target.upstream} does not score a given text`));
  }
  if (request.unit !== 'token' || request.entropy === true || request.rank === true) {
    return err(
      problem(
        'inference.upstream-unsupported',
        'A closed model has surprisal per token only, without entropy and rank: ask for {"unit": "token"}',
      ),
    );
  }
  const base = request.base ?? '2';
  const texts = request.items.map((item) => item.text);
  return runMetered(metering, {
    requestId,
    caller,
    target,
    scope: 'outputs',
    unit: 'output_tokens',
    atMost: texts.reduce((sum, text) => sum + promptTokensAtMost(text), 0),
    work: async () => {
      const answer = await upstreams.complete({
        upstream: target.upstream,
        body: { model: target.upstreamModel, prompt: texts, max_tokens: 0, echo: true, logprobs: 1 },
        signal,
      });
      if (!answer.ok) return answer;
      const { choices, usage } = answer.value;
      const items = texts.map((text, index) =>
        scored(
          text,
          choices.find((choice) => choice.index === index),
          base,
        ),
      );
      if (usage === null || !items.every((item) => item !== undefined)) {
        return err(
          problem(
            'inference.upstream-failed',
            `${target.upstream} did not score the text that it was given; you were not charged`,
          ),
        );
      }
      return ok({
        value: { items, base, receipt: upstreamReceiptOf(target, answer.value) },
        used: usage.promptTokens + usage.outputTokens,
      });
    },
  });
}

/** Undefined when the choice is not this text with a log-probability of every token after the first. */
function scored(
  text: string,
  choice: UpstreamAnswer['choices'][number] | undefined,
  base: '2' | 'e',
): Scored | undefined {
  if (choice?.logprobs == null || choice.text !== text) return undefined;
  const { text_offset: offsets, token_logprobs: logprobs } = choice.logprobs;
  const codePoints = [...text];
  const ends = [...offsets.slice(1), codePoints.length];
  const isWhole =
    offsets.length > 0 &&
    offsets.length === logprobs.length &&
    offsets[0] === 0 &&
    offsets.every((start, index) => start <= (ends[index] ?? 0));
  if (!isWhole) return undefined;
  const units: Scored['units'] = [];
  for (const [index, logprob] of logprobs.entries()) {
    if (logprob === null && index > 0) return undefined;
    if (logprob === null) continue;
    const [start, end] = [offsets[index] ?? 0, ends[index] ?? 0];
    units.push({
      start,
      end,
      text: codePoints.slice(start, end).join(''),
      surprisal: -logprob / (base === '2' ? Math.LN2 : 1),
      tokenIds: [],
    });
  }
  return {
    units,
    total: units.reduce((sum, unit) => sum + unit.surprisal, 0),
    bytes: units.reduce((sum, unit) => sum + Buffer.byteLength(unit.text, 'utf8'), 0),
    tokens: units.length,
  };
}
