import {
  type ApiClient,
  type AttemptAssignment,
  advanceAttempts,
  type CallInput,
  type CallOptions,
  type ClientResponseOf,
  createApiClient,
  type EndpointSpec,
  ProblemError,
  UnreachableError,
} from '@beamtime/contracts';
import { pause } from './pause.js';
import { type SaidItem, SayTogether } from './say-together.js';

/** The facility no longer lets this process, or this attempt, speak: stop and say nothing more. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
  constructor(
    readonly of: 'attempt' | 'agent',
    detail: string,
  ) {
    super(detail);
  }
}

/** The key is unknown, revoked or not an agent's: for the operator to mend. */
export class KeyRefused extends Error {
  override readonly name = 'KeyRefused';
}

const retryBaseMs = 100;
const retryMaxMs = 2_000;

/** Calls to the facility with retries, and its refusals as types. */
export class Facility {
  private readonly client: ApiClient;
  private together: SayTogether | undefined;

  constructor(
    readonly url: string,
    readonly key: string,
  ) {
    this.client = createApiClient(url, key);
  }

  /** One call, no retry. */
  async once<const E extends EndpointSpec>(
    spec: E,
    input: CallInput<E>,
    options: CallOptions = {},
  ): Promise<ClientResponseOf<E>> {
    try {
      return await this.client.call(spec, input, options);
    } catch (error) {
      throw meaningOf(error);
    }
  }

  /**
   * Accepts, or reports of an attempt: said together with what others say at the same time, until it is answered.
   * Resolves to the assignment of an accept.
   */
  advance(incarnation: number, item: SaidItem, signal: AbortSignal): Promise<AttemptAssignment | null> {
    this.together ??= new SayTogether({
      send: async (items) => (await this.once(advanceAttempts, { body: { incarnation, items } })).results,
      meaning: ({ code, detail }) => meaningOfCode(code, detail) ?? new Error(`${code}: ${detail}`),
      isPassing,
    });
    return this.together.say(item, signal);
  }

  /** Repeats until it is answered: every call of the protocol may be repeated. Gives up when aborted. */
  async call<const E extends EndpointSpec>(
    spec: E,
    input: CallInput<E>,
    signal: AbortSignal,
  ): Promise<ClientResponseOf<E>> {
    for (let tries = 0; ; tries++) {
      signal.throwIfAborted();
      try {
        return await this.once(spec, input, { signal });
      } catch (error) {
        if (!isPassing(error)) throw error;
        await pause(Math.min(retryMaxMs, retryBaseMs * 2 ** tries) * (0.5 + Math.random()), signal);
      }
    }
  }
}

function meaningOf(error: unknown): unknown {
  if (!(error instanceof ProblemError)) return error;
  const { code, detail } = error.problem;
  return meaningOfCode(code, detail) ?? error;
}

function meaningOfCode(code: string, detail: string): Error | undefined {
  if (code === 'scheduling.attempt-fenced') return new Fenced('attempt', detail);
  if (code === 'scheduling.agent-superseded') return new Fenced('agent', detail);
  if (code === 'auth.invalid-credentials' || code === 'auth.required' || code === 'auth.forbidden') {
    return new KeyRefused(detail);
  }
  return undefined;
}

/** What may go away by itself: a network, a restart, an overload. A key may be put right while we run. */
export function isPassing(error: unknown): boolean {
  if (error instanceof UnreachableError || error instanceof KeyRefused) return true;
  return error instanceof ProblemError && (error.problem.status >= 500 || error.problem.status === 429);
}
