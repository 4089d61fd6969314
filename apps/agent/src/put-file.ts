import { createReadStream } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream/promises';

/** The store refused the bytes; `status` tells whether another try may help. */
export class PutRefused extends Error {
  override readonly name = 'PutRefused';
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

const silenceMs = 60_000;

/** Puts a file to a presigned URL. Its length goes ahead, since S3 takes no chunks of unknown number. */
export async function putFile(
  file: { readonly path: string; readonly sizeBytes: number },
  upload: { readonly url: string; readonly headers: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(upload.url);
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const request = send(url, {
    method: 'PUT',
    headers: { ...upload.headers, 'content-length': file.sizeBytes },
    signal,
    timeout: silenceMs,
  });
  request.on('timeout', () => request.destroy(new Error('the store went silent')));
  const answered = new Promise<{ status: number; text: string }>((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (text.length < 2_000) text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
  });
  // The store may answer, and close, before it has taken everything.
  const sent = pipeline(createReadStream(file.path), request).catch((error: unknown) => error);
  const first = await Promise.race([
    answered,
    sent.then((error) => (error === undefined ? answered : error)),
  ]);
  if (first instanceof Error) {
    answered.catch(() => undefined);
    throw first;
  }
  const { status, text } = first as { status: number; text: string };
  if (status < 200 || status > 299) {
    throw new PutRefused(status, `the store answered ${status}: ${text.slice(0, 300)}`);
  }
}
