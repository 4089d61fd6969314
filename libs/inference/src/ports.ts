import type { PolicyModel, ProblemCode, Scope } from '@beamtime/contracts';
import type {
  AllocationId,
  ApiKeyId,
  HoldId,
  ModelId,
  PersonId,
  Problem,
  Result,
  Unit,
} from '@beamtime/kernel';

type Expected<T> = Promise<Result<T, Problem<ProblemCode>>>;

/** The key that asks, as the guard admitted it. */
export interface Caller {
  readonly allocationId: AllocationId;
  readonly keyId: ApiKeyId;
  readonly personId: PersonId;
  readonly scopes: readonly Scope[];
}

/** What can be asked and is metered. */
export interface MeteredTarget {
  readonly modelId: ModelId;
  readonly modelName: string;
  /** `step1000`; the final one when the caller named none or `main`. */
  readonly revision: string;
  /** What policies go by. */
  readonly policyModel: PolicyModel;
}

/** A revision of a model that the catalogue knows and can serve. */
export interface ServableRevision extends MeteredTarget {
  readonly kind: 'served';
}

/** A model that is listed for behaviour only: an upstream answers for it. Its one revision is `main`. */
export interface ClosedModel extends MeteredTarget {
  readonly kind: 'closed';
  readonly provider: string;
  /** The operator's name for who is asked. */
  readonly upstream: string;
  /** The model's name there. */
  readonly upstreamModel: string;
}

/** Port to the catalogue. */
export interface ModelLookup {
  find(name: string, revision: string | undefined): Expected<ServableRevision | ClosedModel>;
  /** The models with weights or an upstream among those that an allocation covers: `*`, suite ids and model ids. */
  list(patterns: readonly string[]): Promise<{ name: string; readyAt: Date }[]>;
}
export const MODEL_LOOKUP = Symbol('ModelLookup');

export interface HoldRequest {
  readonly requestId: string;
  readonly caller: Caller;
  readonly target: MeteredTarget;
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
  /** What an allocation covers: `*`, suite ids and model ids; empty when it is not active. */
  grantedModels(caller: Caller): Promise<readonly string[]>;
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
  /** The replica that should have the next request. @param except one that has just failed */
  find(modelId: ModelId, except?: ModelServer): ModelServer | undefined;
}
