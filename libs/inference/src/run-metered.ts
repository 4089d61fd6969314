import type { MeteredUsage, ProblemCode, Scope } from '@beamtime/contracts';
import { ok, type Problem, type Result, type Unit } from '@beamtime/kernel';
import type { Caller, MeteredTarget, Metering } from './ports.js';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

export interface MeteredWork<T> {
  readonly requestId: string;
  readonly caller: Caller;
  readonly target: MeteredTarget;
  readonly scope: Scope;
  readonly unit: Extract<Unit, 'output_tokens' | 'activation_bytes'>;
  /** The most that the work can use: held before it runs. */
  readonly atMost: number;
  readonly work: () => Expected<{ value: T; used: number }>;
}

/**
 * Hold, run, post. A request that fails releases its hold and costs nothing; a crash in between leaves the hold to
 * expire. What runs longer than foreseen can never post more than was held.
 */
export async function runMetered<T>(
  metering: Metering,
  request: MeteredWork<T>,
): Expected<{ value: T; usage: MeteredUsage }> {
  const { requestId, caller, target, scope, unit, atMost } = request;
  const hold = await metering.hold({
    requestId,
    caller,
    target,
    scope,
    unit,
    amount: atMost,
  });
  if (!hold.ok) return hold;
  let outcome: Awaited<ReturnType<typeof request.work>>;
  try {
    outcome = await request.work();
  } catch (error) {
    await metering.release(hold.value);
    throw error;
  }
  if (!outcome.ok) {
    await metering.release(hold.value);
    return outcome;
  }
  const posted = Math.min(outcome.value.used, atMost);
  await metering.post(hold.value, posted, { model: target.modelName, revision: target.revision });
  return ok({
    value: outcome.value.value,
    usage: { requestId, allocationId: caller.allocationId, unit, held: atMost, posted },
  });
}
