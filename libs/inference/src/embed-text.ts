import type { EmbeddingsResponse, MeteredUsage, ProblemCode } from '@beamtime/contracts';
import { ok, type Problem, type Result } from '@beamtime/kernel';
import type { ModelServing } from './model-serving.js';
import { promptTokensAtMost } from './openai/completion-wire.js';
import type { Caller, Metering, ServableRevision } from './ports.js';
import { runMetered } from './run-metered.js';

/** Pools the last layer over each input; costs one output token per input token. */
export function embedText(
  serving: ModelServing,
  metering: Metering,
  call: {
    readonly requestId: string;
    readonly caller: Caller;
    readonly target: ServableRevision;
    readonly inputs: readonly (string | number[])[];
    readonly signal: AbortSignal;
  },
): Promise<Result<{ value: EmbeddingsResponse; usage: MeteredUsage }, Problem<ProblemCode>>> {
  const { caller, inputs, requestId, signal, target } = call;
  return runMetered(metering, {
    requestId,
    caller,
    target,
    scope: 'outputs',
    unit: 'output_tokens',
    atMost: inputs.reduce((sum, input) => sum + promptTokensAtMost(input), 0),
    work: async () => {
      const answer = await serving.callJson<EmbeddingsResponse>(target.modelId, {
        method: 'POST',
        path: '/embeddings',
        body: { revision: target.revision, inputs },
        signal,
      });
      return answer.ok ? ok({ value: answer.value, used: answer.value.usage.promptTokens }) : answer;
    },
  });
}
