import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { BodyRefused, meteredStream, tooLarge, wrongDigest } from './metered-stream.js';
import { checkKey, checkPrefix } from './object-key.js';
import {
  defaultContentType,
  listLimitMax,
  type ObjectContent,
  type ObjectStore,
  objectBytesMax,
  type PresignedRequest,
  type PutOptions,
  type PutProblem,
  presignTtlMsMax,
  type SizedStream,
  type StoredObject,
} from './object-store.js';
import { resolveRange } from './resolve-range.js';
import { problemOfS3 } from './s3-problems.js';

export interface S3ObjectStoreOptions {
  /** Absent: Amazon's own for the region. */
  readonly endpoint?: string;
  /** Where clients outside reach the same server, if that differs; presigned URLs point there. */
  readonly publicEndpoint?: string;
  readonly bucket: string;
  readonly region: string;
  /** Absent: what the SDK finds by itself (instance role, environment, profile). */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** Tries of one request, the first included. */
const attemptsMax = 3;

/** The S3 adapter: any server that speaks S3 with path-style addresses. */
export function openS3ObjectStore(options: S3ObjectStoreOptions): ObjectStore & { close(): void } {
  const { bucket: Bucket } = options;
  const client = clientFor(options, options.endpoint);
  const outside = options.publicEndpoint ? clientFor(options, options.publicEndpoint) : client;

  async function put(
    key: string,
    body: Uint8Array | SizedStream,
    putOptions: PutOptions = {},
  ): Promise<Result<StoredObject, PutProblem>> {
    const checked = checkKey(key);
    if (!checked.ok) return checked;
    const upload =
      body instanceof Uint8Array
        ? wholeUpload(body, putOptions.sha256)
        : streamUpload(body, putOptions.sha256);
    if (!upload.ok) return upload;
    const { Body, sizeBytes, digest, broken } = upload.value;
    if (sizeBytes > objectBytesMax) return err(tooLarge(objectBytesMax));
    const contentType = putOptions.contentType ?? defaultContentType;
    try {
      const stored = await client.send(
        new PutObjectCommand({
          Bucket,
          Key: key,
          Body,
          ContentLength: sizeBytes,
          ContentType: contentType,
          ...(putOptions.ifNoneMatch && { IfNoneMatch: putOptions.ifNoneMatch }),
        }),
        { abortSignal: broken },
      );
      return ok({
        key,
        sizeBytes,
        etag: stored.ETag ?? '',
        contentType,
        modifiedAt: new Date(),
        sha256: digest(),
      });
    } catch (error) {
      if (!broken.aborted) return err(problemOfS3(error, key, 'put'));
      if (broken.reason instanceof BodyRefused) return err(broken.reason.problem);
      throw broken.reason;
    } finally {
      if (Body instanceof Readable) Body.destroy();
    }
  }

  async function head(key: string): ReturnType<ObjectStore['head']> {
    const checked = checkKey(key);
    if (!checked.ok) return checked;
    try {
      return ok(described(key, await client.send(new HeadObjectCommand({ Bucket, Key: key }))));
    } catch (error) {
      return err(problemOfS3(error, key, 'head'));
    }
  }

  return {
    put,
    head,
    async get(key, { range } = {}) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      if (range && !(range.start >= 0 && (range.end === undefined || range.end >= range.start)))
        return err(
          problem(
            'object-store.bad-range',
            'A range begins at 0 or later and does not end before it begins.',
          ),
        );
      const Range = range && `bytes=${range.start}-${range.end ?? ''}`;
      try {
        const got = await client.send(new GetObjectCommand({ Bucket, Key: key, ...(Range && { Range }) }));
        const object = described(key, got);
        // With a range the length is that of the part; the whole stands behind the slash.
        const sizeBytes = Number(got.ContentRange?.split('/')[1] ?? object.sizeBytes);
        const bounds = resolveRange(range, sizeBytes);
        if (!(got.Body instanceof Readable)) throw new Error('the SDK gave no stream');
        if (!bounds.ok) {
          got.Body.destroy();
          return bounds;
        }
        return ok<ObjectContent>({
          ...object,
          sizeBytes,
          stream: got.Body,
          ...(bounds.value && { range: bounds.value }),
        });
      } catch (error) {
        return err(problemOfS3(error, key, 'get'));
      }
    },
    async delete(key) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      try {
        await client.send(new DeleteObjectCommand({ Bucket, Key: key }));
        return ok(undefined);
      } catch (error) {
        return err(problemOfS3(error, key, 'delete'));
      }
    },
    async list(prefix, { after, limit = listLimitMax } = {}) {
      const checked = checkPrefix(prefix);
      if (!checked.ok) return checked;
      try {
        const page = await client.send(
          new ListObjectsV2Command({
            Bucket,
            Prefix: prefix,
            MaxKeys: Math.min(limit, listLimitMax),
            ...(after && { StartAfter: after }),
          }),
        );
        const objects = (page.Contents ?? []).map((found) => ({
          key: found.Key ?? '',
          sizeBytes: found.Size ?? 0,
          modifiedAt: found.LastModified ?? new Date(0),
        }));
        const last = objects.at(-1);
        return ok({ objects, ...(page.IsTruncated && last && { nextAfter: last.key }) });
      } catch (error) {
        return err(problemOfS3(error, prefix, 'list'));
      }
    },
    async presignGet(key, { ttlMs }) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      const url = await getSignedUrl(outside, new GetObjectCommand({ Bucket, Key: key }), {
        expiresIn: ttlSeconds(ttlMs),
      });
      return ok<PresignedRequest>({
        method: 'GET',
        url,
        headers: {},
        expiresAt: new Date(Date.now() + ttlMs),
      });
    },
    async presignPut(key, { ttlMs, sizeBytes, sha256, contentType }) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      const headers: Record<string, string> = {
        ...(contentType !== undefined && { 'content-type': contentType }),
        ...(sha256 !== undefined && { 'x-amz-checksum-sha256': base64Of(sha256) }),
      };
      const url = await getSignedUrl(
        outside,
        new PutObjectCommand({
          Bucket,
          Key: key,
          ...(sizeBytes !== undefined && { ContentLength: sizeBytes }),
          ...(contentType !== undefined && { ContentType: contentType }),
          ...(sha256 !== undefined && { ChecksumSHA256: base64Of(sha256) }),
        }),
        {
          expiresIn: ttlSeconds(ttlMs),
          // Signed as headers, so that the server holds the client to them.
          signableHeaders: new Set(['host', 'content-length', ...Object.keys(headers)]),
          unhoistableHeaders: new Set(['x-amz-checksum-sha256']),
        },
      );
      return ok<PresignedRequest>({ method: 'PUT', url, headers, expiresAt: new Date(Date.now() + ttlMs) });
    },
    async check() {
      try {
        await client.send(new HeadBucketCommand({ Bucket }));
        return ok(undefined);
      } catch (error) {
        const reason = error instanceof S3ServiceException ? error.name : (error as Error).message;
        return err(problem('server.unavailable', `The S3 bucket "${Bucket}" cannot be used: ${reason}.`));
      }
    },
    close: () => {
      client.destroy();
      outside.destroy();
    },
  };
}

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

function clientFor(options: S3ObjectStoreOptions, endpoint: string | undefined): S3Client {
  return new S3Client({
    region: options.region,
    forcePathStyle: true,
    maxAttempts: attemptsMax,
    // The newer trailing checksums are unknown to many servers that speak S3; we check digests ourselves.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Failures come back as problems; the SDK's own lines on the console would only repeat them without context.
    logger: silent,
    ...(endpoint && { endpoint }),
    ...(options.credentials && { credentials: options.credentials }),
  });
}

interface Upload {
  readonly Body: Uint8Array | Readable;
  readonly sizeBytes: number;
  digest(): string;
  /** Aborted, with the cause, when the body breaks off: the SDK itself does not look. */
  readonly broken: AbortSignal;
}

function wholeUpload(body: Uint8Array, expected: string | undefined): Result<Upload, PutProblem> {
  const actual = createHash('sha256').update(body).digest('hex');
  if (expected !== undefined && expected !== actual) return err(wrongDigest(expected, actual));
  const broken = new AbortController().signal;
  return ok({ Body: body, sizeBytes: body.length, digest: () => actual, broken });
}

/** A body that breaks off before its last byte when it is not as announced, so that S3 stores nothing. */
function streamUpload(body: SizedStream, expected: string | undefined): Result<Upload, PutProblem> {
  const metered = meteredStream(body.sizeBytes, expected);
  const controller = new AbortController();
  pipeline(body.stream, metered).catch((error: unknown) => controller.abort(error));
  return ok({
    Body: metered,
    sizeBytes: body.sizeBytes,
    digest: () => metered.digest(),
    broken: controller.signal,
  });
}

function described(
  key: string,
  found: {
    ContentLength?: number | undefined;
    ETag?: string | undefined;
    ContentType?: string | undefined;
    LastModified?: Date | undefined;
  },
): StoredObject {
  return {
    key,
    sizeBytes: found.ContentLength ?? 0,
    etag: found.ETag ?? '',
    contentType: found.ContentType ?? defaultContentType,
    modifiedAt: found.LastModified ?? new Date(0),
  };
}

function ttlSeconds(ttlMs: number): number {
  return Math.max(1, Math.ceil(Math.min(ttlMs, presignTtlMsMax) / 1000));
}

function base64Of(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}
