import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { listLocalObjects } from './list-local-objects.js';
import { fileNameOf, folderNameOf, metaNameOf, temporaryFolder } from './local-object-names.js';
import { type LocalLeave, signedUrl, verifiedLeave } from './local-object-urls.js';
import { BodyRefused, meteredStream } from './metered-stream.js';
import { checkKey, checkPrefix } from './object-key.js';
import {
  defaultContentType,
  listLimitMax,
  type NotFound,
  type ObjectContent,
  type ObjectStore,
  objectBytesMax,
  type PresignedRequest,
  type PutOptions,
  type PutProblem,
  type SizedStream,
  type StoredObject,
  type Unavailable,
} from './object-store.js';
import { resolveRange } from './resolve-range.js';

export interface LocalObjectStoreOptions {
  readonly folder: string;
  /** Signs URLs; the same in every process that serves them. */
  readonly secret: string;
  /** Where `handleLocalObjectRequest` can be reached, asked for anew each time: the port may be found late. */
  readonly baseUrl: () => string;
  readonly freeBytesMin?: number;
}

/** The disk adapter, which also judges the URLs that it signed. */
export interface LocalObjectStore extends ObjectStore {
  /** What this path and query allow; undefined when the signature is not ours or has expired. */
  leaveOf(pathAndQuery: string): LocalLeave | undefined;
}

/** Kept free for what shares the disk: a full disk stops PostgreSQL, which loses more than a refused checkpoint. */
const defaultFreeBytesMin = 200 * 1024 * 1024;
/** No upload takes longer; what is older was left by a process that was killed. */
const temporaryKeptMs = 24 * 60 * 60 * 1000;

interface Meta {
  readonly contentType: string;
  readonly sha256: string;
}

/** Opens the store on a folder, which it makes, and clears what interrupted uploads left there. */
export async function openLocalObjectStore(options: LocalObjectStoreOptions): Promise<LocalObjectStore> {
  const root = resolve(options.folder);
  await mkdir(join(root, temporaryFolder), { recursive: true });
  await clearTemporary(join(root, temporaryFolder));
  const freeBytesMin = options.freeBytesMin ?? defaultFreeBytesMin;
  const inTurn = takingTurns();

  /** Where a key lies. The names of folders and files differ, so that both `a` and `a/b` may be objects. */
  const locate = (key: string): { folder: string; path: string; metaPath: (version: string) => string } => {
    const parts = key.split('/');
    const last = parts.pop() ?? '';
    const folder = join(root, ...parts.map(folderNameOf));
    return {
      folder,
      path: join(folder, fileNameOf(last)),
      metaPath: (version) => join(folder, metaNameOf(last, version)),
    };
  };

  async function describe(key: string, file: FileHandle): Promise<StoredObject> {
    const { size, mtimeMs, version } = await versionOf(file);
    const meta = await readMeta(locate(key).metaPath(version));
    return {
      key,
      sizeBytes: size,
      etag: `"${version}"`,
      contentType: meta?.contentType ?? defaultContentType,
      modifiedAt: new Date(mtimeMs),
      ...(meta && { sha256: meta.sha256 }),
    };
  }

  async function openObject(key: string): Promise<Result<FileHandle, NotFound>> {
    try {
      return ok(await open(locate(key).path, 'r'));
    } catch (error) {
      if (!isAbsence(error)) throw error;
      return err(problem('object-store.not-found', `There is no object "${key}".`, { key }));
    }
  }

  /** Puts a finished temporary file in the place of its key, together with what it is. */
  async function place(
    key: string,
    temporaryPath: string,
    version: string,
    meta: Meta,
    onlyIfAbsent: boolean,
  ): Promise<Result<void, PutProblem>> {
    const { folder, path, metaPath } = locate(key);
    await mkdir(folder, { recursive: true });
    const replaced = await versionAt(path);
    if (onlyIfAbsent && replaced !== undefined) return err(exists(key));
    // The description bears the version in its name, so at each moment the object in place has its own.
    await writeFile(metaPath(version), JSON.stringify(meta));
    if (onlyIfAbsent) {
      try {
        await link(temporaryPath, path);
      } catch (error) {
        await rm(metaPath(version), { force: true });
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return err(exists(key));
        throw error;
      }
    } else {
      await rename(temporaryPath, path);
    }
    await syncFolder(folder);
    if (replaced !== undefined && replaced !== version) await rm(metaPath(replaced), { force: true });
    return ok(undefined);
  }

  async function put(
    key: string,
    body: Uint8Array | SizedStream,
    putOptions: PutOptions = {},
  ): Promise<Result<StoredObject, PutProblem>> {
    const checked = checkKey(key);
    if (!checked.ok) return checked;
    const sized = body instanceof Uint8Array ? sizedStreamOf(body) : body;
    const refused = (refusal: PutProblem): Result<never, PutProblem> => {
      sized.stream.destroy();
      return err(refusal);
    };
    if (sized.sizeBytes > objectBytesMax) return refused(overLimit(sized.sizeBytes));
    if (!(await hasRoom(root, sized.sizeBytes, freeBytesMin))) return refused(full());
    if (putOptions.ifNoneMatch && (await versionAt(locate(key).path))) return refused(exists(key));
    const temporaryPath = join(root, temporaryFolder, `${process.pid}-${randomBytes(8).toString('hex')}`);
    try {
      const { sha256, version, mtimeMs } = await writeWhole(temporaryPath, sized, putOptions.sha256);
      const meta: Meta = { contentType: putOptions.contentType ?? defaultContentType, sha256 };
      const placed = await inTurn(key, () =>
        place(key, temporaryPath, version, meta, putOptions.ifNoneMatch !== undefined),
      );
      if (!placed.ok) return placed;
      const { sizeBytes } = sized;
      return ok({ key, sizeBytes, etag: `"${version}"`, modifiedAt: new Date(mtimeMs), ...meta });
    } catch (error) {
      if (error instanceof BodyRefused) return err(error.problem);
      if (isFull(error)) return err(full());
      throw error;
    } finally {
      await rm(temporaryPath, { force: true });
    }
  }

  const presign = (leave: LocalLeave, headers: Record<string, string>): PresignedRequest => ({
    method: leave.method,
    url: signedUrl(options.baseUrl(), options.secret, leave),
    headers,
    expiresAt: new Date(leave.expiresAtMs),
  });

  return {
    put,
    async get(key, { range } = {}) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      const opened = await openObject(key);
      if (!opened.ok) return opened;
      const file = opened.value;
      try {
        const object = await describe(key, file);
        const resolved = resolveRange(range, object.sizeBytes);
        if (!resolved.ok) {
          await file.close();
          return resolved;
        }
        const bounds = resolved.value;
        const stream = file.createReadStream(bounds ?? {});
        return ok<ObjectContent>({ ...object, stream, ...(bounds && { range: bounds }) });
      } catch (error) {
        await file.close();
        throw error;
      }
    },
    async head(key) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      const opened = await openObject(key);
      if (!opened.ok) return opened;
      try {
        return ok(await describe(key, opened.value));
      } finally {
        await opened.value.close();
      }
    },
    async delete(key) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      await inTurn(key, async () => {
        const { path, metaPath } = locate(key);
        const version = await versionAt(path);
        if (version === undefined) return;
        await rm(path, { force: true });
        await rm(metaPath(version), { force: true });
      });
      return ok(undefined);
    },
    async list(prefix, { after, limit = listLimitMax } = {}) {
      const checked = checkPrefix(prefix);
      if (!checked.ok) return checked;
      return ok(await listLocalObjects(root, prefix, after ?? '', Math.min(limit, listLimitMax)));
    },
    async presignGet(key, { ttlMs }) {
      const checked = checkKey(key);
      return checked.ok ? ok(presign({ method: 'GET', key, expiresAtMs: Date.now() + ttlMs }, {})) : checked;
    },
    async presignPut(key, { ttlMs, ...conditions }) {
      const checked = checkKey(key);
      if (!checked.ok) return checked;
      const { contentType } = conditions;
      const leave: LocalLeave = { method: 'PUT', key, expiresAtMs: Date.now() + ttlMs, ...conditions };
      return ok(presign(leave, contentType === undefined ? {} : { 'content-type': contentType }));
    },
    check: () => checkFolder(root),
    leaveOf: (pathAndQuery) => verifiedLeave(pathAndQuery, options.secret, Date.now()),
  };
}

/** Inode and time of writing: a file put in place later differs in one of them. */
async function versionOf(file: FileHandle): Promise<{ size: number; mtimeMs: number; version: string }> {
  const { ino, size, mtimeNs } = await file.stat({ bigint: true });
  return {
    size: Number(size),
    mtimeMs: Number(mtimeNs / 1_000_000n),
    version: `${ino.toString(36)}-${mtimeNs.toString(36)}`,
  };
}

async function versionAt(path: string): Promise<string | undefined> {
  try {
    const { ino, mtimeNs } = await stat(path, { bigint: true });
    return `${ino.toString(36)}-${mtimeNs.toString(36)}`;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** Writes a body to a new file and to the disk beneath; throws BodyRefused when it is not as announced. */
async function writeWhole(
  path: string,
  body: SizedStream,
  sha256: string | undefined,
): Promise<{ sha256: string; version: string; mtimeMs: number }> {
  const metered = meteredStream(body.sizeBytes, sha256);
  const file = await open(path, 'wx');
  try {
    await pipeline(body.stream, metered, async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) await file.writeFile(chunk);
    });
    await file.sync();
    const { version, mtimeMs } = await versionOf(file);
    return { sha256: metered.digest(), version, mtimeMs };
  } finally {
    body.stream.destroy();
    await file.close();
  }
}

async function readMeta(path: string): Promise<Meta | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Meta;
  } catch {
    // Gone with an overwrite at this very moment: the bytes are as good without it.
    return undefined;
  }
}

/** A rename is on the disk only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function clearTemporary(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > temporaryKeptMs) await rm(path, { force: true });
  }
}

async function hasRoom(folder: string, sizeBytes: number, freeBytesMin: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize - sizeBytes >= freeBytesMin;
}

async function checkFolder(root: string): Promise<Result<void, Unavailable>> {
  try {
    await access(join(root, temporaryFolder), constants.W_OK | constants.X_OK);
    return ok(undefined);
  } catch {
    return err(problem('server.unavailable', 'The folder of the object store is gone or cannot be written.'));
  }
}

function sizedStreamOf(body: Uint8Array): SizedStream {
  return {
    stream: Readable.from([Buffer.from(body.buffer, body.byteOffset, body.byteLength)]),
    sizeBytes: body.length,
  };
}

/** Runs what concerns one key one after the other, and different keys beside each other. */
function takingTurns(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const lastOf = new Map<string, Promise<unknown>>();
  return async (key, work) => {
    const turn = (lastOf.get(key) ?? Promise.resolve()).then(work, work);
    lastOf.set(key, turn);
    try {
      return await turn;
    } finally {
      if (lastOf.get(key) === turn) lastOf.delete(key);
    }
  };
}

function isAbsence(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Full disk, spent quota, or larger than this file system can hold. */
function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function full(): PutProblem {
  return problem(
    'object-store.full',
    'The object store has no room for this: delete what is no longer needed, or ask its operators for space.',
  );
}

function exists(key: string): PutProblem {
  return problem('object-store.exists', `There is an object "${key}" already.`, { key });
}

function overLimit(sizeBytes: number): PutProblem {
  return problem('object-store.too-large', `An object has up to ${objectBytesMax} bytes, not ${sizeBytes}.`, {
    sizeBytes,
    objectBytesMax,
  });
}
