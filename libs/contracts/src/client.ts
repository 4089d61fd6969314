import type {
  ClientBodyOf,
  ClientParamsOf,
  ClientQueryOf,
  ClientResponseOf,
  EndpointSpec,
} from './endpoint.js';
import { type ProblemDetails, problemDetailsSchema } from './problems.js';

/** Thrown by the client when the facility answers with a problem. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  constructor(readonly problem: ProblemDetails) {
    super(`${problem.code}: ${problem.detail}`);
  }
}

/** Thrown when the facility cannot be reached, answers too late, or answers something that is not its API. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

type Part<Name extends string, Value> = undefined extends Value
  ? { readonly [K in Name]?: Value | undefined }
  : object extends Value
    ? { readonly [K in Name]?: Value | undefined }
    : { readonly [K in Name]: Value };

export type CallInput<E> = Part<'params', ClientParamsOf<E>> &
  Part<'query', ClientQueryOf<E>> &
  Part<'body', ClientBodyOf<E>>;

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiClient {
  readonly baseUrl: string;
  /** The same client with another credential. */
  as(token: string | undefined): ApiClient;
  call<const E extends EndpointSpec>(
    spec: E,
    input: CallInput<E>,
    options?: CallOptions,
  ): Promise<ClientResponseOf<E>>;
  /** For endpoints that send or take bytes: the raw response, already checked for problems. */
  raw(spec: EndpointSpec, input: RawInput, options?: CallOptions): Promise<Response>;
}

interface RawInput {
  readonly params?: unknown;
  readonly query?: unknown;
  readonly body?: unknown;
}

/** No call waits longer than this unless it says so. */
const defaultTimeoutMs = 30_000;

/** Fills `:name` in the path and appends the query; throws on a missing parameter. */
export function urlOf(baseUrl: string, spec: EndpointSpec, input: RawInput): string {
  const params = (input.params ?? {}) as Record<string, unknown>;
  // `\\:` is a colon of the path itself.
  const path = spec.path.replace(/\\:|:([A-Za-z]+)/g, (_, name: string | undefined) => {
    if (name === undefined) return ':';
    const value = params[name];
    if (value === undefined) throw new TypeError(`${spec.id}: missing path parameter ${name}`);
    return encodeURIComponent(String(value));
  });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries((input.query ?? {}) as Record<string, unknown>)) {
    if (value === undefined || value === null) continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  const text = query.toString();
  return `${baseUrl.replace(/\/$/, '')}${path}${text === '' ? '' : `?${text}`}`;
}

type RawBody = string | Uint8Array<ArrayBuffer> | ReadableStream | Blob;

function isRawBody(body: unknown): body is RawBody {
  return (
    typeof body === 'string' ||
    body instanceof Uint8Array ||
    body instanceof ReadableStream ||
    body instanceof Blob
  );
}

async function problemOf(response: Response): Promise<Error> {
  const text = await response.text();
  try {
    const parsed = problemDetailsSchema.safeParse(JSON.parse(text));
    if (parsed.success) return new ProblemError(parsed.data);
  } catch {
    // Not JSON: reported below with its status.
  }
  return new UnreachableError(`HTTP ${response.status} from ${response.url}: ${text.slice(0, 300)}`);
}

/** The JSON of an answer; what a proxy sends in its place is no answer of the facility. */
function jsonOf(text: string, spec: EndpointSpec): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreachableError(`${spec.id}: the answer is not JSON: ${text.slice(0, 200)}`);
  }
}

/** A typed HTTP client for every endpoint in this package; runs in browsers and Node. */
export function createApiClient(baseUrl: string, token?: string): ApiClient {
  async function raw(spec: EndpointSpec, input: RawInput, options: CallOptions = {}): Promise<Response> {
    const url = urlOf(baseUrl, spec, input);
    const headers: Record<string, string> = { accept: 'application/json', ...options.headers };
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    const init: RequestInit & { duplex?: 'half' } = { method: spec.method, headers };
    if (input.body !== undefined) {
      if (spec.consumes !== undefined && isRawBody(input.body)) {
        headers['content-type'] = spec.consumes;
        init.body = input.body;
        if (input.body instanceof ReadableStream) init.duplex = 'half';
      } else {
        headers['content-type'] = 'application/json';
        init.body = JSON.stringify(input.body);
      }
    }
    const timeout = AbortSignal.timeout(options.timeoutMs ?? defaultTimeoutMs);
    init.signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    let response: Response;
    try {
      response = await fetch(url, init);
    } catch (cause) {
      if (options.signal?.aborted === true) throw cause;
      const why =
        cause instanceof Error
          ? ((cause.cause as Error | undefined)?.message ?? cause.message)
          : String(cause);
      throw new UnreachableError(`${spec.method} ${url}: ${why}`, { cause });
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  return {
    baseUrl,
    as: (other) => createApiClient(baseUrl, other),
    raw,
    async call(spec, input, options) {
      const response = await raw(spec, input, options);
      if (response.status === 204) return undefined as never;
      const text = await response.text();
      const parsed = spec.response.safeParse(jsonOf(text, spec));
      if (!parsed.success) {
        throw new UnreachableError(`${spec.id}: the answer does not fit its schema: ${parsed.error.message}`);
      }
      return parsed.data as never;
    },
  };
}
