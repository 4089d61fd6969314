import type { ProblemCode, Scope } from '@beamtime/contracts';
import type { AllocationId, HoldId, ModelId, PersonId, Problem, Result, Unit } from '@beamtime/kernel';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

/** The key that asks, as the guard admitted it. */
export interface Caller {
  readonly allocationId: AllocationId;
  readonly personId: PersonId;
  readonly scopes: readonly Scope[];
}

/** A revision of a model that the catalogue knows and can serve. */
export interface ServableRevision {
  readonly modelId: ModelId;
  readonly modelName: string;
  /** `step1000`; the final one when the caller named none or `main`. */
  readonly revision: string;
}

/** Port to the catalogue. */
export interface ModelLookup {
  find(name: string, revision: string | undefined): Expected<ServableRevision>;
  /** Names of the ready models that match any of these patterns. */
  list(modelIds: readonly ModelId[] | 'all'): Promise<{ modelId: ModelId; name: string; readyAt: Date }[]>;
}
export const MODEL_LOOKUP = Symbol('ModelLookup');

export interface HoldRequest {
  readonly requestId: string;
  readonly caller: Caller;
  readonly modelId: ModelId;
  readonly scope: Scope;
  readonly unit: Unit;
  readonly amount: number;
}

/** Port to the ledger: nothing runs without a hold, and a hold is settled exactly once. */
export interface Metering {
  /** Sets the units aside, or says why not; a refusal costs nothing. */
  hold(request: HoldRequest): Expected<HoldId>;
  /** Posts what was used and frees the rest; a replay is a no-op. */
  post(holdId: HoldId, used: number, facts: Readonly<Record<string, unknown>>): Promise<void>;
  /** Frees all of it. */
  release(holdId: HoldId): Promise<void>;
  /** The models that an allocation covers. */
  grantedModels(caller: Caller): Promise<readonly ModelId[] | 'all'>;
}
export const METERING = Symbol('Metering');

export interface ServerCall {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}
export interface ServerAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Port to a live runner that serves a model, reached through the connection that its agent opened. */
export interface ModelServer {
  /** Rejects when the connection breaks or nothing comes in time. */
  request(call: ServerCall): Promise<ServerAnswer>;
}
export interface ModelServers {
  find(modelId: ModelId): ModelServer | undefined;
}
export const MODEL_SERVERS = Symbol('ModelServers');
