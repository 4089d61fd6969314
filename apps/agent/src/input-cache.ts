import { createHash } from 'node:crypto';
import { constants, createReadStream, createWriteStream } from 'node:fs';
import { copyFile, link, lstat, mkdir, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
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
/** What is left free on the disk, for what programs write: the cache gives way before they run out of it. */
const reserveBytesByDefault = 1024 ** 3;

/** Behind the digest that an adopted file should have, until it has been looked at. */
const unchecked = '.kept';
/** A whole file of the cache; unfinished ones have something behind the digest. */
const wholeFile = /^[0-9a-f]{64}$/;

interface CachedFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly usedMs: number;
  /** It lies nowhere else, so that removing it frees its bytes. */
  readonly isAlone: boolean;
}

/** A file of the disk, whole and no longer written to. */
export interface WholeFile {
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What the cache holds; the version is another one whenever that is. */
export interface CacheContent {
  readonly version: number;
  /** The largest first. */
  readonly sha256: readonly string[];
}

/** Fetched inputs by their digest, shared by the attempts of this agent. */
export class InputCache {
  private readonly fetching = new Map<string, Promise<void>>();
  /** How many attempts are taking a file just now: it must not be evicted under their hands. */
  private readonly pins = new Map<string, number>();
  private readonly whole = new Map<string, number>();
  private version = 1;
  private said: CacheContent | undefined;

  constructor(
    private readonly folder: string,
    private readonly bytesMax: number,
    private readonly reserveBytes = reserveBytesByDefault,
  ) {}

  /** Looks what earlier processes of this agent left. */
  async open(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const files = await this.files();
    for (const { name, sizeBytes } of files) if (wholeFile.test(name)) this.whole.set(name, sizeBytes);
    this.changed();
    // Taken, but not looked at before that process ended.
    const taken = files.flatMap(({ name, sizeBytes }) =>
      name.endsWith(unchecked)
        ? [{ path: join(this.folder, name), sha256: name.slice(0, -unchecked.length), sizeBytes }]
        : [],
    );
    void this.checkAll(taken);
  }

  content(): CacheContent {
    this.said ??= {
      version: this.version,
      sha256: [...this.whole].sort((a, b) => b[1] - a[1]).map(([sha256]) => sha256),
    };
    return this.said;
  }

  private changed(): void {
    this.version++;
    this.said = undefined;
  }

  /**
   * Puts every input into the workdir, checked; as copies where it may be changed. Where the disk is too full for them,
   * what was not used for longest gives way.
   */
  async stage(inputs: readonly StagedInput[], workdir: string, signal: AbortSignal): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const digests = [...new Set(inputs.map(({ sha256 }) => sha256))];
    for (const sha256 of digests) this.pins.set(sha256, (this.pins.get(sha256) ?? 0) + 1);
    try {
      await this.makeRoom(bytesOf(inputs.filter(({ sha256 }) => !this.whole.has(sha256))));
      const queue = [...inputs];
      const work = async (): Promise<void> => {
        for (let input = queue.shift(); input !== undefined; input = queue.shift()) {
          await this.have(input, signal);
          await this.place(input, workdir);
        }
      };
      await Promise.all(Array.from({ length: parallelFetches }, work));
    } finally {
      for (const sha256 of digests) {
        const left = (this.pins.get(sha256) ?? 1) - 1;
        if (left === 0) this.pins.delete(sha256);
        else this.pins.set(sha256, left);
      }
    }
  }

  /**
   * Takes files from where an attempt made them, once nothing writes to them any more: a later attempt here need not
   * fetch them. They are gone from there at once; whether they are what they should be is looked at afterwards, until
   * the promise within resolves.
   */
  async adopt(files: readonly WholeFile[]): Promise<{ readonly done: Promise<void> }> {
    if (bytesOf(files) > this.bytesMax) return { done: Promise.resolve() };
    await mkdir(this.folder, { recursive: true });
    const taken: WholeFile[] = [];
    for (const file of files) {
      if (this.whole.has(file.sha256)) continue;
      const found = await lstat(file.path).catch(() => undefined);
      if (found?.isFile() !== true || found.size !== file.sizeBytes) continue;
      const path = join(this.folder, `${file.sha256}${unchecked}`);
      await rename(file.path, path).then(
        () => taken.push({ ...file, path }),
        () => undefined,
      );
    }
    return { done: this.checkAll(taken) };
  }

  /** Never throws: what is not kept is fetched when it is wanted. */
  private async checkAll(taken: readonly WholeFile[]): Promise<void> {
    try {
      for (const file of taken) await this.check(file);
      await this.makeRoom(0);
    } catch {
      // Evicted meanwhile, or the disk is gone.
    }
  }

  private async check({ path, sha256, sizeBytes }: WholeFile): Promise<void> {
    if ((await digest(path)) !== sha256) return rm(path, { force: true });
    await rename(path, join(this.folder, sha256));
    this.whole.set(sha256, sizeBytes);
    this.changed();
  }

  /** Gives way where programs are about to fill the disk. */
  async relieve(): Promise<void> {
    if ((await this.freeBytes()) < this.reserveBytes) await this.makeRoom(0);
  }

  private async place(input: StagedInput, workdir: string): Promise<void> {
    const target = join(workdir, input.path);
    const cached = join(this.folder, input.sha256);
    const copy = (): Promise<void> =>
      this.withRoom(input.sizeBytes, () => copyFile(cached, target, constants.COPYFILE_FICLONE));
    await mkdir(dirname(target), { recursive: true });
    if (copied.some((folder) => input.path.startsWith(folder))) await copy();
    else await link(cached, target).catch(copy);
  }

  private async have(input: StagedInput, signal: AbortSignal): Promise<void> {
    const running = this.fetching.get(input.sha256);
    if (running !== undefined) {
      // Another attempt's: should it be given up, this one goes on by itself.
      await running.catch(() => undefined);
      signal.throwIfAborted();
      return this.have(input, signal);
    }
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
        await this.withRoom(input.sizeBytes, () => download(input, part, signal));
        if ((await digest(part)) === input.sha256) {
          await rename(part, cached);
          this.whole.set(input.sha256, input.sizeBytes);
          this.changed();
          return;
        }
        why = 'the bytes do not have the announced SHA-256';
        await rm(part, { force: true });
      } catch (error) {
        signal.throwIfAborted();
        why = (error as Error).message;
        if (!isFull(error)) continue;
        // What others run here needs the place more than half a file does.
        await rm(part, { force: true });
        break;
      }
    }
    throw new StagingFailed(`${input.path} could not be fetched: ${why}`);
  }

  /** Tries again while the disk is full and the cache has something to give. */
  private async withRoom<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isFull(error) || (await this.free(bytes)) === 0) throw error;
      }
    }
  }

  /** Least recently used first, until what is coming fits into the cache and onto the disk. */
  private async makeRoom(comingBytes: number): Promise<void> {
    const files = await this.files();
    let total = bytesOf(files) + comingBytes;
    let lacking = comingBytes + this.reserveBytes - (await this.freeBytes());
    for (const file of files.filter(({ name }) => !this.isPinned(name))) {
      const isOver = total > this.bytesMax;
      if (!isOver && lacking <= 0) return;
      // What attempts link to stays alive there, and on the disk.
      if (!isOver && !file.isAlone) continue;
      await this.drop(file);
      total -= file.sizeBytes;
      if (file.isAlone) lacking -= file.sizeBytes;
    }
  }

  /** Removes what was not used for longest until so many bytes are free that were not; says how many. */
  private async free(bytes: number): Promise<number> {
    let freed = 0;
    for (const file of await this.files()) {
      if (freed >= bytes) break;
      if (this.isPinned(file.name) || !file.isAlone || file.sizeBytes === 0) continue;
      await this.drop(file);
      freed += file.sizeBytes;
    }
    return freed;
  }

  private isPinned(name: string): boolean {
    return this.pins.has(name.slice(0, 64));
  }

  private async drop({ name }: CachedFile): Promise<void> {
    await rm(join(this.folder, name), { force: true });
    if (this.whole.delete(name)) this.changed();
  }

  /** All files, the least recently used first. */
  private async files(): Promise<CachedFile[]> {
    const files = await Promise.all(
      (await readdir(this.folder)).map(async (name): Promise<CachedFile | undefined> => {
        const found = await stat(join(this.folder, name)).catch(() => undefined);
        if (found === undefined) return undefined;
        return { name, sizeBytes: found.size, usedMs: found.mtimeMs, isAlone: found.nlink === 1 };
      }),
    );
    return files.filter((file) => file !== undefined).sort((a, b) => a.usedMs - b.usedMs);
  }

  /** What this user may still write; a file system that does not say is taken for one with room. */
  private async freeBytes(): Promise<number> {
    const disk = await statfs(this.folder).catch(() => undefined);
    return disk === undefined || disk.blocks === 0 ? Number.POSITIVE_INFINITY : disk.bavail * disk.bsize;
  }
}

function bytesOf(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** The disk, or this user's quota on it. */
function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
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
