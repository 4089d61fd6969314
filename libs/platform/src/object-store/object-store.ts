import type { Readable } from 'node:stream';
import type { Problem, Result } from '@beamtime/kernel';

/** A body whose length is known before it flows: S3 needs it, and so does a disk that may be full. */
export interface SizedStream {
  readonly stream: Readable;
  readonly sizeBytes: number;
}

export interface PutOptions {
  readonly contentType?: string;
  /** `*`: only if there is no object of this key yet, decided by the store in one step. */
  readonly ifNoneMatch?: '*';
  /** In hexadecimal. A body with another digest is refused and nothing is stored. */
  readonly sha256?: string;
}

export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** Changes whenever the content does; quoted, as HTTP has it. */
  readonly etag: string;
  readonly contentType: string;
  readonly modifiedAt: Date;
  /** In hexadecimal, where the store knows it. */
  readonly sha256?: string;
}

/** First and last byte, both included; without `end`, to the end of the object. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

export interface ObjectContent extends StoredObject {
  /** Read it to the end or destroy it; it holds a file or a connection. */
  readonly stream: Readable;
  /** What `stream` yields; present when a range was asked for. */
  readonly range?: { readonly start: number; readonly end: number };
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}

export interface ObjectPage {
  readonly objects: readonly ListedObject[];
  /** Pass as `after` for the next page; absent on the last one. */
  readonly nextAfter?: string;
}

/** Leave for someone without credentials to fetch or store one object for a while. */
export interface PresignedRequest {
  readonly method: 'GET' | 'PUT';
  readonly url: string;
  /** To be sent exactly so, beside the body. */
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresAt: Date;
}

export interface PresignPutOptions {
  readonly ttlMs: number;
  /** The body must have exactly this length. */
  readonly sizeBytes?: number;
  /** In hexadecimal; the store checks it against the body. */
  readonly sha256?: string;
  readonly contentType?: string;
}

export type BadKey = Problem<'object-store.bad-key'>;
/** The store itself cannot be reached or refuses us; trying again later may help. */
export type Unavailable = Problem<'server.unavailable'>;
export type NotFound = Problem<'object-store.not-found'>;
export type PutProblem =
  | Unavailable
  | Problem<
      | 'object-store.bad-key'
      | 'object-store.exists'
      | 'object-store.full'
      | 'object-store.too-large'
      | 'object-store.checksum-mismatch'
    >;
export type GetProblem = BadKey | NotFound | Unavailable | Problem<'object-store.bad-range'>;
export type ObjectStoreProblem = PutProblem | GetProblem;

/** S3's own limit for a body sent in one request; larger weights are sharded by whoever saves them. */
export const objectBytesMax = 5 * 1024 ** 3;
/** S3's own limit for a page. */
export const listLimitMax = 1_000;
/** The longest leave that S3 grants: seven days. */
export const presignTtlMsMax = 7 * 24 * 60 * 60 * 1000;
export const defaultContentType = 'application/octet-stream';

/**
 * Where weights, checkpoints and captures lie. Two adapters: a folder of the local disk, and S3; one conformance
 * suite (`conformance.ts`) says what both keep to. An object is whole or absent, never half written.
 */
export interface ObjectStore {
  put(
    key: string,
    body: Uint8Array | SizedStream,
    options?: PutOptions,
  ): Promise<Result<StoredObject, PutProblem>>;
  get(key: string, options?: { readonly range?: ByteRange }): Promise<Result<ObjectContent, GetProblem>>;
  head(key: string): Promise<Result<StoredObject, BadKey | NotFound | Unavailable>>;
  /** Succeeds too when there is nothing to delete. */
  delete(key: string): Promise<Result<void, BadKey | Unavailable>>;
  /** Keys that begin with `prefix`, in the order of their bytes, after the key `after`. */
  list(
    prefix: string,
    options?: { readonly after?: string; readonly limit?: number },
  ): Promise<Result<ObjectPage, BadKey | Unavailable>>;
  presignGet(key: string, options: { readonly ttlMs: number }): Promise<Result<PresignedRequest, BadKey>>;
  presignPut(key: string, options: PresignPutOptions): Promise<Result<PresignedRequest, BadKey>>;
  /** Whether the store can be used at all: for the start and for `/health`. */
  check(): Promise<Result<void, Unavailable>>;
}
