import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { problemCodes } from '@beamtime/contracts';
import { type Problem, problem } from '@beamtime/kernel';
import type { LocalObjectStore } from './local-object-store.js';
import type { LocalLeave } from './local-object-urls.js';
import {
  type ByteRange,
  type ObjectStoreProblem,
  objectBytesMax,
  type StoredObject,
} from './object-store.js';

type RequestProblem =
  | ObjectStoreProblem
  | Problem<'object-store.bad-signature' | 'request.invalid' | 'request.not-found'>;

/** A few seconds of a slow line. */
const droppedBytesMax = 16 * 1024 * 1024;

/**
 * Serves the URLs that the local store signed: GET (with one range), HEAD and PUT. For node's http server as for
 * Express; it must come before anything that reads bodies. Whoever has the URL has the leave, so there is no login.
 */
export async function handleLocalObjectRequest(
  store: LocalObjectStore,
  request: IncomingMessage & { originalUrl?: string },
  response: ServerResponse,
): Promise<void> {
  const leave = store.leaveOf(request.originalUrl ?? request.url ?? '/');
  const { method } = request;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'PUT')
    return refuse(request, response, problem('request.not-found', 'Objects know GET, HEAD and PUT.'));
  if (!leave || leave.method !== (method === 'PUT' ? 'PUT' : 'GET'))
    return refuse(
      request,
      response,
      problem(
        'object-store.bad-signature',
        `This URL does not allow ${method}, or no longer: ask for a new one.`,
      ),
    );
  try {
    if (method === 'PUT') await receive(store, leave, request, response);
    else await send(store, leave, request, response);
  } catch (error) {
    // The other side went away in the middle: nobody is left to be told.
    if (request.destroyed || response.destroyed || response.headersSent) response.destroy();
    else throw error;
  }
}

async function send(
  store: LocalObjectStore,
  leave: LocalLeave,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const described = await store.head(leave.key);
  if (!described.ok) return refuse(request, response, described.error);
  const object = described.value;
  if (request.headers['if-none-match'] === object.etag) {
    response.writeHead(304, { etag: object.etag }).end();
    return;
  }
  const range = rangeOf(request, object);
  if (request.method === 'HEAD') {
    response.writeHead(200, { ...headersOf(object), 'content-length': object.sizeBytes }).end();
    return;
  }
  const got = await store.get(leave.key, range ? { range } : {});
  if (!got.ok) {
    if (got.error.code === 'object-store.bad-range')
      response.setHeader('content-range', `bytes */${object.sizeBytes}`);
    return refuse(request, response, got.error);
  }
  const { stream, range: bounds, sizeBytes } = got.value;
  response.writeHead(bounds ? 206 : 200, {
    ...headersOf(got.value),
    'content-length': bounds ? bounds.end - bounds.start + 1 : sizeBytes,
    ...(bounds && { 'content-range': `bytes ${bounds.start}-${bounds.end}/${sizeBytes}` }),
  });
  await pipeline(stream, response);
}

function headersOf(object: StoredObject): Record<string, string> {
  return {
    'content-type': object.contentType,
    etag: object.etag,
    'last-modified': object.modifiedAt.toUTCString(),
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
    // Objects come from the facility's own address: nothing stored by a user may act there as a page.
    'content-security-policy': "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    'x-content-type-options': 'nosniff',
  };
}

/** The one range asked for; several at once, or one on a version that is gone, get the whole object instead. */
function rangeOf(request: IncomingMessage, object: StoredObject): ByteRange | undefined {
  const condition = request.headers['if-range'];
  if (condition !== undefined && condition !== object.etag) return undefined;
  const match = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  // "-n": the last n bytes.
  if (first === '')
    return last === '0'
      ? { start: object.sizeBytes }
      : { start: Math.max(0, object.sizeBytes - Number(last)) };
  return last === '' ? { start: Number(first) } : { start: Number(first), end: Number(last) };
}

async function receive(
  store: LocalObjectStore,
  leave: LocalLeave,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const refusal = refusalOfBody(leave, request);
  if (refusal) return refuse(request, response, refusal);
  const { sha256, contentType } = leave;
  const stored = await store.put(
    leave.key,
    { stream: bodyOf(request), sizeBytes: Number(request.headers['content-length']) },
    {
      contentType: contentType ?? request.headers['content-type'] ?? 'application/octet-stream',
      ...(sha256 !== undefined && { sha256 }),
      ...(request.headers['if-none-match'] === '*' && { ifNoneMatch: '*' as const }),
    },
  );
  if (!stored.ok) return refuse(request, response, stored.error);
  response.writeHead(200, { etag: stored.value.etag, 'content-length': 0 }).end();
}

/** The body as a stream that a store may destroy without closing the connection under our answer. */
function bodyOf(request: IncomingMessage): Readable {
  const body = new PassThrough();
  request.once('error', (error) => body.destroy(error));
  request.once('close', () => {
    if (!request.complete) body.destroy(new Error('the client went away'));
  });
  return request.pipe(body);
}

/** What is wrong with a body before its first byte has been read. */
function refusalOfBody(leave: LocalLeave, request: IncomingMessage): RequestProblem | undefined {
  const announced = Number(request.headers['content-length'] ?? Number.NaN);
  if (!Number.isInteger(announced))
    return problem('request.invalid', 'Send a content-length: an object is stored only at its full length.');
  const allowed = leave.sizeBytes ?? objectBytesMax;
  if (announced > allowed)
    return problem('object-store.too-large', `This URL allows ${allowed} bytes, not ${announced}.`, {
      allowedBytes: allowed,
      announcedBytes: announced,
    });
  if (leave.sizeBytes !== undefined && announced !== leave.sizeBytes)
    return problem('request.invalid', `This URL is for exactly ${allowed} bytes, not ${announced}.`);
  if (leave.contentType !== undefined && request.headers['content-type'] !== leave.contentType)
    return problem('request.invalid', `This URL is for content of type ${leave.contentType}.`);
  return undefined;
}

/** Answers with RFC 9457 problem details. */
function refuse(request: IncomingMessage, response: ServerResponse, refusal: RequestProblem): void {
  const { status, title } = problemCodes[refusal.code];
  const body = JSON.stringify({
    type: `https://beamtime.example/problems/${refusal.code}`,
    title,
    status,
    ...refusal,
  });
  // What is left of a body is read and dropped, so that the client gets to read the answer; unless it is so much
  // that hanging up is better.
  const announced = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
  if (!request.complete && announced > droppedBytesMax) response.setHeader('connection', 'close');
  response.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
