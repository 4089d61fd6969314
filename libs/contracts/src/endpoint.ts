import { z } from 'zod';
import type { ProblemCode } from './problems.js';
import type { Access } from './roles.js';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';

/** Largest JSON body unless an endpoint says otherwise: enough for any form, too small to hurt. */
export const defaultBodyLimitBytes = 1_048_576;

/**
 * One HTTP endpoint as data. Controllers, validation, OpenAPI, the CLI, the agent and the tests all use this
 * value, so they cannot drift apart. Paths use `:name` parameters, as Express does.
 */
export interface EndpointSpec<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Response extends z.ZodType = z.ZodType,
> {
  /** Unique, `area.verb` or `area.noun.verb`: the OpenAPI operationId. */
  readonly id: string;
  readonly method: HttpMethod;
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly description?: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  readonly response: Response;
  /** Status of success; 200 unless said. */
  readonly status?: number;
  readonly errors?: readonly ProblemCode[];
  readonly bodyLimitBytes?: number;
  /** What is sent when it is not JSON (a file, a stream): the handler then writes the response itself. */
  readonly produces?: string;
  /** What is received when it is not JSON: the handler then reads the request itself. */
  readonly consumes?: string;
}

const empty = z.object({});

export type ParamsOf<E> = E extends { readonly params: infer S extends z.ZodType } ? z.output<S> : object;
export type QueryOf<E> = E extends { readonly query: infer S extends z.ZodType } ? z.output<S> : object;
export type BodyOf<E> = E extends { readonly body: infer S extends z.ZodType } ? z.output<S> : undefined;
export type ResponseOf<E> = E extends { readonly response: infer S extends z.ZodType } ? z.input<S> : never;
/** The validated input of a handler. */
export interface InputOf<E> {
  readonly params: ParamsOf<E>;
  readonly query: QueryOf<E>;
  readonly body: BodyOf<E>;
}
export type ClientParamsOf<E> = E extends { readonly params: infer S extends z.ZodType }
  ? z.input<S>
  : undefined;
export type ClientQueryOf<E> = E extends { readonly query: infer S extends z.ZodType }
  ? z.input<S>
  : undefined;
export type ClientBodyOf<E> = E extends { readonly body: infer S extends z.ZodType } ? z.input<S> : undefined;
export type ClientResponseOf<E> = E extends { readonly response: infer S extends z.ZodType }
  ? z.output<S>
  : never;

/** Declares an endpoint; keeps the literal types so that clients and handlers are typed by it. */
export function endpoint<const E extends EndpointSpec>(spec: E): E {
  return spec;
}

export const noContent = z.undefined().describe('No content');
export const emptyParams = empty;

/** A page of a listing: `after` is the last id seen. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100).describe('Rows at most'),
  after: z.string().max(200).optional().describe('Continue after this cursor (`next` of the page before)'),
});
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item),
    next: z.string().nullable().describe('Cursor of the next page, or null'),
  });

/** Text a person typed: trimmed, not empty, bounded, without control characters. */
export const shortText = z.string().trim().min(1).max(200);
export const longText = z.string().trim().max(20_000);
export const isoTime = z.iso.datetime({ offset: true }).describe('ISO 8601 with time zone');
/** A whole number that may pass 2^53, as a decimal string. */
export const bigintText = z
  .string()
  .regex(/^-?\d{1,30}$/)
  .describe('A whole number as decimal text');
export const sha256Text = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe('SHA-256 as 64 hexadecimal digits');
export const idText = (prefix: string) =>
  z
    .string()
    .regex(new RegExp(`^${prefix}_[0-9a-hjkmnp-tv-z]{26}$`))
    .describe(`Id of the form ${prefix}_…`);
