import { pipeline } from 'node:stream/promises';
import type { FileEntry } from '@beamtime/contracts';
import { type ByteRange, OBJECT_STORE, type ObjectStore, unwrap } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';

/** From here on a file is fetched from the object store itself, by an address that is good for a while. */
const redirectFromBytes = 1024 * 1024;
const addressTtlMs = 60 * 60 * 1_000;

export function isLarge(file: Pick<FileEntry, 'sizeBytes'>): boolean {
  return file.sizeBytes >= redirectFromBytes;
}

/** Sends one stored file with ETag and ranges, or a redirect to the store when it is large. */
@Injectable()
export class SendFile {
  constructor(@Inject(OBJECT_STORE) private readonly store: ObjectStore) {}

  async send(file: FileEntry, request: Request, response: Response): Promise<void> {
    const etag = `"${file.sha256}"`;
    response.setHeader('etag', etag);
    response.setHeader('accept-ranges', 'bytes');
    response.setHeader('cache-control', 'no-cache');
    response.setHeader('content-disposition', `inline; filename="${file.path.split('/').at(-1) ?? 'file'}"`);
    if (request.headers['if-none-match']?.split(/,\s*/).includes(etag)) {
      response.status(304).end();
      return;
    }
    // HEAD is answered here also for large files: the client would follow a redirect to a store on this host, and
    // miss the commit there.
    if (request.method === 'HEAD') {
      response.type(typeOf(file));
      response.setHeader('content-length', String(file.sizeBytes));
      response.status(200).end();
      return;
    }
    if (isLarge(file)) {
      await this.redirect(file, response);
      return;
    }
    response.type(typeOf(file));
    await this.stream(file, request.headers.range, response);
  }

  private async redirect(file: FileEntry, response: Response): Promise<void> {
    const leave = unwrap(await this.store.presignGet(file.objectKey, { ttlMs: addressTtlMs }));
    response.setHeader('x-linked-etag', `"${file.sha256}"`);
    response.setHeader('x-linked-size', String(file.sizeBytes));
    response.setHeader('cache-control', 'no-store');
    response.redirect(302, leave.url);
  }

  private async stream(file: FileEntry, header: string | undefined, response: Response): Promise<void> {
    const range = readRange(header, file.sizeBytes);
    if (range === 'beyond') {
      response.setHeader('content-range', `bytes */${file.sizeBytes}`);
      response.status(416).end();
      return;
    }
    const content = unwrap(await this.store.get(file.objectKey, range === undefined ? {} : { range }));
    if (content.range === undefined) {
      response.setHeader('content-length', String(file.sizeBytes));
    } else {
      const { start, end } = content.range;
      response.status(206);
      response.setHeader('content-range', `bytes ${start}-${end}/${file.sizeBytes}`);
      response.setHeader('content-length', String(end - start + 1));
    }
    // A client that goes away breaks the pipe; that is no failure of ours.
    await pipeline(content.stream, response).catch((error: unknown) => {
      if (!response.destroyed) throw error;
    });
  }
}

function typeOf(file: FileEntry): string {
  return file.path.endsWith('.json') ? 'application/json' : 'application/octet-stream';
}

/** One range of bytes; several at once are answered with the whole file, as HTTP allows. */
export function readRange(header: string | undefined, sizeBytes: number): ByteRange | 'beyond' | undefined {
  const found = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (found === null) return undefined;
  const [, first = '', last = ''] = found;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Number(last);
    return length === 0 ? 'beyond' : { start: Math.max(0, sizeBytes - length) };
  }
  const start = Number(first);
  if (start >= sizeBytes) return 'beyond';
  if (last === '') return { start };
  const end = Math.min(Number(last), sizeBytes - 1);
  return end < start ? undefined : { start, end };
}
