import { createHash } from 'node:crypto';
import { constants, createReadStream, createWriteStream } from 'node:fs';
import { copyFile, link, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { commandRoot, type StagedInput } from '@beamtime/contracts';
import { pause } from './pause.js';

/** An input that cannot be had; the message goes to whoever asks why the attempt failed. */
export class StagingFailed extends Error {
  override readonly name = 'StagingFailed';
}

/** Where a program may write into what was staged: a link would let it change what the cache keeps for others. */
const copied = ['resume/', `${commandRoot}/`];
const triesPerFile = 6;
const retryBaseMs = 200;
const parallelFetches = 4;
/** No byte for so long: the connection is dead. */
const silenceMs = 30_000;

/** Fetched inputs by their digest, shared by the attempts of this agent. */
export class InputCache {
  private readonly fetching = new Map<string, Promise<void>>();

  constructor(
    private readonly folder: string,
    private readonly bytesMax: number,
  ) {}

  /** Puts every input into the workdir, checked; as copies where it may be changed. */
  async stage(inputs: readonly StagedInput[], workdir: string, signal: AbortSignal): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await this.evict(inputs.reduce((sum, input) => sum + input.sizeBytes, 0));
    const queue = [...inputs];
    const work = async (): Promise<void> => {
      for (let input = queue.shift(); input !== undefined; input = queue.shift()) {
        await this.have(input, signal);
        await this.place(input, workdir);
      }
    };
    await Promise.all(Array.from({ length: parallelFetches }, work));
  }

  private async place(input: StagedInput, workdir: string): Promise<void> {
    const target = join(workdir, input.path);
    const cached = join(this.folder, input.sha256);
    await mkdir(dirname(target), { recursive: true });
    if (copied.some((folder) => input.path.startsWith(folder))) {
      await copyFile(cached, target, constants.COPYFILE_FICLONE);
      return;
    }
    await link(cached, target).catch(() => copyFile(cached, target));
  }

  private have(input: StagedInput, signal: AbortSignal): Promise<void> {
    const running = this.fetching.get(input.sha256);
    if (running !== undefined) return running;
    const work = this.fetch(input, signal).finally(() => this.fetching.delete(input.sha256));
    this.fetching.set(input.sha256, work);
    return work;
  }

  private async fetch(input: StagedInput, signal: AbortSignal): Promise<void> {
    const cached = join(this.folder, input.sha256);
    const found = await stat(cached).catch(() => undefined);
    if (found?.size === input.sizeBytes) {
      await utimes(cached, new Date(), new Date());
      return;
    }
    const part = `${cached}.part`;
    let why = '';
    for (let tries = 0; tries < triesPerFile; tries++) {
      signal.throwIfAborted();
      if (tries > 0) await pause(retryBaseMs * 2 ** tries, signal);
      try {
        await download(input, part, signal);
        if ((await digest(part)) === input.sha256) {
          await rename(part, cached);
          return;
        }
        why = 'the bytes do not have the announced SHA-256';
        await rm(part, { force: true });
      } catch (error) {
        signal.throwIfAborted();
        why = (error as Error).message;
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC') break;
      }
    }
    throw new StagingFailed(`${input.path} could not be fetched: ${why}`);
  }

  /** Least recently used first, until what is coming fits. Files that attempts link to stay alive there. */
  private async evict(comingBytes: number): Promise<void> {
    const names = await readdir(this.folder);
    const files = await Promise.all(
      names.map(async (name) => {
        const found = await stat(join(this.folder, name)).catch(() => undefined);
        return { name, sizeBytes: found?.size ?? 0, usedMs: found?.mtimeMs ?? 0 };
      }),
    );
    let total = files.reduce((sum, file) => sum + file.sizeBytes, comingBytes);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (total <= this.bytesMax) return;
      if (this.fetching.has(file.name.replace(/\.part$/, ''))) continue;
      await rm(join(this.folder, file.name), { force: true });
      total -= file.sizeBytes;
    }
  }
}

/** Goes on where an earlier try stopped. */
async function download(input: StagedInput, part: string, signal: AbortSignal): Promise<void> {
  const have = (await stat(part).catch(() => undefined))?.size ?? 0;
  if (have > input.sizeBytes) await rm(part, { force: true });
  const start = have > input.sizeBytes ? 0 : have;
  if (start === input.sizeBytes && start > 0) return;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(new Error('the connection went silent')), silenceMs);
  try {
    const response = await fetch(input.url, {
      headers: start > 0 ? { range: `bytes=${start}-` } : {},
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the store answered ${response.status}`);
    }
    const body = Readable.fromWeb(response.body as WebStream);
    body.on('data', () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new Error('the connection went silent')), silenceMs);
    });
    await pipeline(body, createWriteStream(part, { flags: response.status === 206 ? 'a' : 'w' }));
  } finally {
    clearTimeout(timer);
  }
}

export async function digest(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
