import type { MeteredUsage, ProblemCode, SurprisalRequest, SurprisalResponse } from '@beamtime/contracts';
import { ok, type Problem, type Result } from '@beamtime/kernel';
import type { ModelServing } from './model-serving.js';
import { promptTokensAtMost } from './openai/completion-wire.js';
import type { Caller, Metering, ServableRevision } from './ports.js';
import { runMetered } from './run-metered.js';

/** Surprisal of each unit of each text; costs one output token per token. */
export function computeSurprisal(
  serving: ModelServing,
  metering: Metering,
  call: {
    readonly requestId: string;
    readonly caller: Caller;
    readonly target: ServableRevision;
    readonly request: Omit<SurprisalRequest, 'revision'>;
    readonly signal: AbortSignal;
  },
): Promise<Result<{ value: SurprisalResponse; usage: MeteredUsage }, Problem<ProblemCode>>> {
  const { caller, request, requestId, signal, target } = call;
  return runMetered(metering, {
    requestId,
    caller,
    target,
    scope: 'outputs',
    unit: 'output_tokens',
    atMost: request.items.reduce((sum, item) => sum + promptTokensAtMost(item.text), 0),
    work: async () => {
      const answer = await serving.callJson<SurprisalResponse>(target.modelId, {
        method: 'POST',
        path: '/surprisal',
        body: { ...request, revision: target.revision },
        signal,
      });
      if (!answer.ok) return answer;
      return ok({
        value: answer.value,
        used: answer.value.items.reduce((sum, item) => sum + item.tokens, 0),
      });
    },
  });
}
