import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { objectStoreConformance } from './conformance.js';
import { handleLocalObjectRequest } from './handle-local-object-request.js';
import { type LocalObjectStore, openLocalObjectStore } from './local-object-store.js';
import type { PresignedRequest, PresignPutOptions } from './object-store.js';

interface Served {
  readonly store: LocalObjectStore;
  readonly folder: string;
  close(): Promise<void>;
}

const secret = 'a secret of at least thirty-two characters';

async function serve(options: { freeBytesMin?: number; folder?: string } = {}): Promise<Served> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'beamtime-objects-')));
  let server: Server;
  const store: LocalObjectStore = await openLocalObjectStore({
    folder,
    secret,
    baseUrl: () => {
      const address = server.address();
      if (typeof address !== 'object' || address === null) throw new Error('not listening');
      return `http://127.0.0.1:${address.port}`;
    },
    ...(options.freeBytesMin !== undefined && { freeBytesMin: options.freeBytesMin }),
  });
  server = createServer((request, response) => void handleLocalObjectRequest(store, request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    store,
    folder,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

objectStoreConformance('the local disk', async () => {
  const served = await serve();
  return { ...served, checksPresignedDigest: true };
});

describe('a URL that the local store signed', () => {
  let served: Served;
  beforeEach(async () => {
    served = await serve();
  });
  afterEach(() => served.close());

  async function leaveToPut(
    options: Partial<PresignPutOptions> = {},
    key = 'a/b',
  ): Promise<PresignedRequest> {
    const leave = await served.store.presignPut(key, { ttlMs: 60_000, ...options });
    if (!leave.ok) throw new Error(leave.error.detail);
    return leave.value;
  }

  async function leaveToGet(key = 'a/b', ttlMs = 60_000): Promise<PresignedRequest> {
    const leave = await served.store.presignGet(key, { ttlMs });
    if (!leave.ok) throw new Error(leave.error.detail);
    return leave.value;
  }

  const codeOf = async (response: Response): Promise<[number, unknown]> => [
    response.status,
    ((await response.json()) as { code?: unknown }).code,
  ];
  const put = (url: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(url, { method: 'PUT', body, headers });

  it('expires', async () => {
    await served.store.put('a/b', Buffer.from('x'));
    const { url } = await leaveToGet('a/b', 30);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(await codeOf(await fetch(url))).toEqual([403, 'object-store.bad-signature']);
  });

  it('is refused after any change: key, time, method, conditions or signature', async () => {
    await served.store.put('a/b', Buffer.from('x'));
    await served.store.put('a/c', Buffer.from('secret'));
    const { url } = await leaveToGet();
    const changes: ((changed: URL) => void)[] = [
      (changed) => {
        changed.pathname = changed.pathname.replace('a/b', 'a/c');
      },
      (changed) => changed.searchParams.set('expires', '9999999999999'),
      (changed) => changed.searchParams.set('method', 'PUT'),
      (changed) => changed.searchParams.set('size', '1'),
      (changed) => changed.searchParams.set('sig', 'x'),
      (changed) => changed.searchParams.delete('sig'),
      (changed) => changed.searchParams.delete('expires'),
    ];
    expect((await fetch(url)).status).toBe(200);
    for (const change of changes) {
      const changed = new URL(url);
      change(changed);
      expect((await fetch(changed)).status, changed.href).toBe(403);
    }
  });

  it('to read does not write, and one to write neither reads nor deletes', async () => {
    await served.store.put('a/b', Buffer.from('x'));
    expect((await put((await leaveToGet()).url, 'y')).status).toBe(403);
    const { url } = await leaveToPut();
    expect((await fetch(url)).status).toBe(403);
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(403);
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(404);
  });

  it('to read answers HEAD, conditions and ranges as HTTP has them', async () => {
    await served.store.put('a/b', Buffer.from('0123456789'), { contentType: 'text/plain' });
    const { url } = await leaveToGet();
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe('10');
    expect(head.headers.get('content-type')).toBe('text/plain');
    expect(head.headers.get('accept-ranges')).toBe('bytes');
    const etag = head.headers.get('etag') ?? '';
    expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const text = async (headers: Record<string, string>): Promise<[number, string]> => {
      const response = await fetch(url, { headers });
      return [response.status, await response.text()];
    };
    expect(await text({ range: 'bytes=-3' })).toEqual([206, '789']);
    expect(await text({ range: 'bytes=-99' })).toEqual([206, '0123456789']);
    expect(await text({ range: 'bytes=8-' })).toEqual([206, '89']);
    expect(await text({ range: 'bytes=0-1,4-5' })).toEqual([200, '0123456789']);
    expect(await text({ range: 'bytes=2-3', 'if-range': etag })).toEqual([206, '23']);
    expect(await text({ range: 'bytes=2-3', 'if-range': '"older"' })).toEqual([200, '0123456789']);
    const beyond = await fetch(url, { headers: { range: 'bytes=10-' } });
    expect(beyond.headers.get('content-range')).toBe('bytes */10');
    expect(await codeOf(beyond)).toEqual([416, 'object-store.bad-range']);
  });

  it('lets nothing stored act as a page of the facility', async () => {
    await served.store.put('a/b', Buffer.from('<script>'), { contentType: 'text/html' });
    const { headers } = await fetch((await leaveToGet()).url);
    expect(headers.get('content-security-policy')).toContain('sandbox');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('to write takes exactly the length, the type and the digest that it is for', async () => {
    const digest = createHash('sha256').update('hello').digest('hex');
    const { url, headers } = await leaveToPut({ sizeBytes: 5, sha256: digest, contentType: 'text/plain' });
    expect(await codeOf(await put(url, 'hello!', headers))).toEqual([413, 'object-store.too-large']);
    expect(await codeOf(await put(url, 'hell', headers))).toEqual([400, 'request.invalid']);
    expect(await codeOf(await put(url, 'hello', { 'content-type': 'text/html' }))).toEqual([
      400,
      'request.invalid',
    ]);
    expect(await codeOf(await put(url, 'hallo', headers))).toEqual([422, 'object-store.checksum-mismatch']);
    expect((await served.store.head('a/b')).ok).toBe(false);
    expect((await put(url, 'hello', headers)).status).toBe(200);
  });

  it('to write asks for a length, so that a full disk is known before the first byte', async () => {
    const { url } = await leaveToPut();
    const body = Readable.toWeb(Readable.from(['a', 'b'])) as unknown as ReadableStream;
    const response = await fetch(url, { method: 'PUT', body, duplex: 'half' } as RequestInit);
    expect(await codeOf(response)).toEqual([400, 'request.invalid']);
  });

  it('stores nothing when the client goes away in the middle, and serves the next', async () => {
    const { url } = await leaveToPut();
    const upload = httpRequest(url, { method: 'PUT', headers: { 'content-length': '1000000' } });
    upload.on('error', () => undefined);
    upload.write(Buffer.alloc(100_000));
    await new Promise((resolve) => setTimeout(resolve, 100));
    upload.destroy();
    await expect.poll(() => readdir(join(served.folder, '~uploads'))).toEqual([]);
    expect((await served.store.head('a/b')).ok).toBe(false);
    expect((await put(url, 'x')).status).toBe(200);
  });

  it('does not carry the secret or a way out of the folder', async () => {
    const { url } = await leaveToGet();
    expect(url).not.toContain(encodeURIComponent(secret));
    const wayOut = url.replace('/objects/a/b', '/objects/..%2f..%2fetc/passwd');
    expect((await fetch(wayOut)).status).toBe(403);
  });
});

describe('the local store', () => {
  it('refuses what would leave too little room for others on the disk, and answers 507', async () => {
    const served = await serve({ freeBytesMin: Number.MAX_SAFE_INTEGER });
    const refused = await served.store.put('a', Buffer.from('x'));
    expect(refused).toMatchObject({ ok: false, error: { code: 'object-store.full' } });
    const leave = await served.store.presignPut('a', { ttlMs: 60_000 });
    if (!leave.ok) throw new Error(leave.error.detail);
    const response = await fetch(leave.value.url, { method: 'PUT', body: Buffer.alloc(300_000) });
    expect(response.status).toBe(507);
    expect(await response.json()).toMatchObject({ code: 'object-store.full', status: 507 });
    await served.close();
  });

  it('keeps what it had when the disk itself is full', async ({ skip }) => {
    const folder = await mkdtemp(join(tmpdir(), 'beamtime-full-'));
    if (!mountSmallDisk(folder)) skip('mounting a small disk needs root and leave to mount');
    try {
      const served = await serve({ folder: join(folder, 'objects'), freeBytesMin: 0 });
      expect((await served.store.put('kept', Buffer.alloc(500_000, 1))).ok).toBe(true);
      // Each alone has room, and both are told so before the first byte; the disk holds only one of them.
      const bodies = [1, 2].map((fill) => ({
        stream: Readable.from([Buffer.alloc(200_000, fill), Buffer.alloc(200_000, fill)]),
        sizeBytes: 400_000,
      }));
      const results = await Promise.all(bodies.map((body, n) => served.store.put(`other/${n}`, body)));
      const codes = results.map((put) => (put.ok ? 'stored' : put.error.code));
      expect(codes).toContain('object-store.full');
      const kept = await served.store.head('kept');
      expect(kept.ok && kept.value.sizeBytes).toBe(500_000);
      expect(await readdir(join(folder, 'objects', '~uploads'))).toEqual([]);
      await served.close();
    } finally {
      execFileSync('umount', [folder]);
      await rm(folder, { recursive: true });
    }
  });

  it('forgets uploads that were interrupted long ago, and no others', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'beamtime-objects-'));
    await mkdir(join(folder, '~uploads'), { recursive: true });
    await writeFile(join(folder, '~uploads', 'old'), 'x');
    await utimes(join(folder, '~uploads', 'old'), new Date(0), new Date(0));
    await writeFile(join(folder, '~uploads', 'new'), 'x');
    const served = await serve({ folder });
    expect(await readdir(join(folder, '~uploads'))).toEqual(['new']);
    await served.close();
  });
});

/** A disk of one megabyte; false where this process may not mount one. */
function mountSmallDisk(folder: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
