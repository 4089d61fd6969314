import { copyFile, link, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FolderFile, requestUploads } from '@beamtime/contracts';
import { type Facility, isPassing } from './facility.js';
import { pause } from './pause.js';
import { PutRefused, putFile } from './put-file.js';

export interface AttemptAddress {
  readonly jobId: string;
  readonly attempt: number;
  readonly incarnation: number;
}

/** A file on its way: kept under its digest, so that the runner may delete or replace the original. */
export interface Parcel {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

const triesPerFile = 8;
const retryBaseMs = 250;

/** Brings the files of one attempt into the object store, each content once. */
export class UploadFiles {
  private readonly stored = new Set<string>();

  constructor(
    private readonly facility: Facility,
    private readonly address: AttemptAddress,
    private readonly workdir: string,
    private readonly outbox: string,
  ) {}

  /** Takes hold of a folder's files at once; they are uploaded later. */
  async collect(folder: string, files: readonly FolderFile[]): Promise<Parcel[]> {
    await mkdir(this.outbox, { recursive: true });
    return Promise.all(
      files.map(async (file) => {
        const kept = join(this.outbox, file.sha256);
        const original = join(this.workdir, folder, file.path);
        if (!this.stored.has(file.sha256)) {
          await link(original, kept).catch(async (error: NodeJS.ErrnoException) => {
            if (error.code === 'EEXIST') return;
            await copyFile(original, kept);
          });
        }
        return { path: file.path, sizeBytes: file.bytes, sha256: file.sha256 };
      }),
    );
  }

  /** Uploads what the store does not have yet. */
  async upload(parcels: readonly Parcel[], signal: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries++) {
      const missing = [...new Map(parcels.map((p) => [p.sha256, p])).values()].filter(
        (parcel) => !this.stored.has(parcel.sha256),
      );
      if (missing.length === 0) return;
      try {
        await this.uploadOnce(missing, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const passing = isPassing(error) || isPassingPut(error);
        if (!passing || tries >= triesPerFile) throw error;
        await pause(retryBaseMs * 2 ** tries * (0.5 + Math.random()), signal);
      }
    }
  }

  private async uploadOnce(missing: readonly Parcel[], signal: AbortSignal): Promise<void> {
    const { jobId, attempt, incarnation } = this.address;
    const granted = await this.facility.call(
      requestUploads,
      {
        params: { jobId, attempt },
        body: { incarnation, files: missing.map(({ sha256, sizeBytes }) => ({ sha256, sizeBytes })) },
      },
      signal,
    );
    const bySha = new Map(missing.map((parcel) => [parcel.sha256, parcel]));
    for (const { sha256, upload } of granted.files) {
      const parcel = bySha.get(sha256);
      if (parcel === undefined) continue;
      const path = join(this.outbox, sha256);
      if (upload !== null) await putFile({ path, sizeBytes: parcel.sizeBytes }, upload, signal);
      this.stored.add(sha256);
      await rm(path, { force: true });
    }
  }
}

/** A connection that broke, or a store that is busy or full now. */
function isPassingPut(error: unknown): boolean {
  if (error instanceof PutRefused) {
    return error.status >= 500 || error.status === 408 || error.status === 429 || error.status === 403;
  }
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && /^(ECONN|EPIPE|ETIMEDOUT|EAI_|ENOTFOUND)/.test(code);
}
