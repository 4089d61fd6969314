import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob, statSync } from 'node:fs';
import { UnreachableError, type Upload } from '@beamtime/contracts';
import { UsageError } from '../core/usage-error.js';

export interface LocalFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Size and hash of a file, read as a stream. */
export async function describeFile(path: string): Promise<LocalFile> {
  try {
    const { size } = statSync(path);
    const digest = createHash('sha256');
    for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer);
    return { path, sizeBytes: size, sha256: digest.digest('hex') };
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${(error as Error).message}`);
  }
}

/** Puts a file to a presigned address, as long and as large as it needs. */
export async function uploadFile(file: LocalFile, upload: Pick<Upload, 'url' | 'headers'>): Promise<void> {
  const response = await fetch(upload.url, {
    method: 'PUT',
    headers: upload.headers,
    body: await openAsBlob(file.path),
  }).catch((cause: unknown) => {
    throw new UnreachableError(`PUT ${new URL(upload.url).origin}: the object store cannot be reached`, {
      cause,
    });
  });
  if (response.ok) return;
  const text = await response.text();
  throw new UnreachableError(
    `The object store refused ${file.path}: HTTP ${response.status} ${text.slice(0, 300)}`,
  );
}
