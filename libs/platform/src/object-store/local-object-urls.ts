import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a signed URL of the local store allows: one method on one key, for a while, under these conditions. */
export interface LocalLeave {
  readonly method: 'GET' | 'PUT';
  readonly key: string;
  readonly expiresAtMs: number;
  readonly sizeBytes?: number;
  readonly sha256?: string;
  readonly contentType?: string;
}

/** The path below the base URL that the handler is mounted on. */
export const objectsPath = '/objects/';

export function signedUrl(baseUrl: string, secret: string, leave: LocalLeave): string {
  const url = new URL(`${baseUrl.replace(/\/$/, '')}${objectsPath}${leave.key}`);
  url.searchParams.set('expires', String(leave.expiresAtMs));
  url.searchParams.set('method', leave.method);
  if (leave.sizeBytes !== undefined) url.searchParams.set('size', String(leave.sizeBytes));
  if (leave.sha256 !== undefined) url.searchParams.set('sha256', leave.sha256);
  if (leave.contentType !== undefined) url.searchParams.set('type', leave.contentType);
  url.searchParams.set('sig', signature(secret, leave));
  return url.href;
}

/** The leave that a request's path and query carry; undefined when it has expired or we never gave it. */
export function verifiedLeave(pathAndQuery: string, secret: string, nowMs: number): LocalLeave | undefined {
  const url = new URL(pathAndQuery, 'http://localhost');
  const begin = url.pathname.indexOf(objectsPath);
  const query = url.searchParams;
  const method = query.get('method');
  if (begin < 0 || (method !== 'GET' && method !== 'PUT')) return undefined;
  const size = query.get('size');
  const sha256 = query.get('sha256');
  const contentType = query.get('type');
  const leave: LocalLeave = {
    method,
    key: url.pathname.slice(begin + objectsPath.length),
    expiresAtMs: Number(query.get('expires')),
    ...(size !== null && { sizeBytes: Number(size) }),
    ...(sha256 !== null && { sha256 }),
    ...(contentType !== null && { contentType }),
  };
  const given = Buffer.from(query.get('sig') ?? '');
  const expected = Buffer.from(signature(secret, leave));
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return nowMs < leave.expiresAtMs ? leave : undefined;
}

/** JSON keeps the fields apart, whatever they hold; the leading name keeps this use of the secret from others. */
function signature(secret: string, leave: LocalLeave): string {
  const { method, key, expiresAtMs, sizeBytes, sha256, contentType } = leave;
  const signed = [
    'beamtime-object-url',
    method,
    key,
    expiresAtMs,
    sizeBytes ?? null,
    sha256 ?? null,
    contentType ?? null,
  ];
  return createHmac('sha256', secret).update(JSON.stringify(signed)).digest('base64url');
}
