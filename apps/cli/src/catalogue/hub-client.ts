import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { workdirPath } from '@beamtime/contracts';
import { z } from 'zod';
import { CheckFailed, LoginRefused, UsageError } from '../core/usage-error.js';
import type { LocalFile } from './upload-file.js';

/** Answers about a repository are small; a hub that has not answered by then will not. */
const answerTimeoutMs = 30_000;
/** A download may take hours, but not be silent for so long. */
const silenceTimeoutMs = 60_000;
/** Against a network that drops and a hub that says it is busy; waits double between them. */
const attemptsMax = 6;
const firstWaitMs = 500;
const longestWaitMs = 60_000;
/** Pages of a file list: far more than a repository of weights has. */
const pagesMax = 1_000;

const refsSchema = z.object({
  branches: z.array(z.object({ name: z.string(), targetCommit: z.string() })),
  tags: z.array(z.object({ name: z.string(), targetCommit: z.string() })).default([]),
});
const infoSchema = z.object({ id: z.string(), sha: z.string().regex(/^[0-9a-f]{40}$/) });
const treeSchema = z.array(
  z.object({
    type: z.enum(['file', 'directory']),
    path: workdirPath,
    oid: z.string().regex(/^[0-9a-f]{40}$/),
    size: z.number().int().min(0),
    lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/) }).optional(),
  }),
);

/** A file of a repository; `oid` names its content: the SHA-256 where git-lfs holds it, git's blob id otherwise. */
export interface HubFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly oid: string;
}

class TryAgain extends Error {
  constructor(
    message: string,
    readonly afterMs?: number,
  ) {
    super(message);
  }
}

/** The read side of a Hugging Face hub, as its own clients use it. What is downloaded is checked against what was listed. */
export class HubClient {
  readonly endpoint: string;

  constructor(
    endpoint: string,
    private readonly token: string | undefined,
    private readonly waitMs: number = firstWaitMs,
  ) {
    if (!/^https?:\/\/[^/]+/.test(endpoint)) {
      throw new UsageError(`${endpoint} is no address of a hub: write it as https://huggingface.co`);
    }
    this.endpoint = endpoint.replace(/\/+$/, '');
  }

  /** Branches and tags with their commits. */
  async refs(id: string): Promise<{ readonly name: string; readonly commit: string }[]> {
    const { branches, tags } = await this.json(`/api/models/${id}/refs`, id, refsSchema);
    return [...branches, ...tags].map(({ name, targetCommit }) => ({ name, commit: targetCommit }));
  }

  /** The full id of a repository (old ones have short names) and the commit of one of its revisions. */
  async pin(id: string, revision: string): Promise<{ readonly id: string; readonly commit: string }> {
    const path = `/api/models/${id}/revision/${encodeURIComponent(revision)}`;
    const found = await this.json(path, `${id} at ${revision}`, infoSchema);
    return { id: found.id, commit: found.sha };
  }

  /** All files of a commit. */
  async files(id: string, commit: string): Promise<HubFile[]> {
    const files: HubFile[] = [];
    let path: string | undefined = `/api/models/${id}/tree/${commit}?recursive=true`;
    for (let page = 0; path !== undefined && page < pagesMax; page++) {
      const response: Response = await this.get(path, id);
      for (const entry of await this.read(response, treeSchema)) {
        if (entry.type === 'directory') continue;
        files.push({ path: entry.path, sizeBytes: entry.size, oid: entry.lfs?.oid ?? entry.oid });
      }
      path = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    }
    return files;
  }

  /**
   * Downloads a file to `to`, which appears whole and checked or not at all. What an earlier call left half is
   * continued. `onBytes` hears how many bytes are there.
   */
  async download(
    id: string,
    commit: string,
    file: HubFile,
    to: string,
    onBytes: (count: number) => void,
  ): Promise<LocalFile> {
    if (!existsSync(to)) {
      const partial = `${to}.incomplete`;
      await this.again(() => this.fetchRest(id, commit, file, partial, onBytes));
      await checked(file, partial);
      renameSync(partial, to);
    }
    const local = await checked(file, to);
    onBytes(file.sizeBytes);
    return local;
  }

  private async fetchRest(
    id: string,
    commit: string,
    file: HubFile,
    partial: string,
    onBytes: (count: number) => void,
  ): Promise<void> {
    const have = statSync(partial, { throwIfNoEntry: false })?.size ?? 0;
    if (have === file.sizeBytes && have > 0) return;
    const from = have < file.sizeBytes ? have : 0;
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), silenceTimeoutMs);
    const path = file.path.split('/').map(encodeURIComponent).join('/');
    const what = `${id}/${file.path}`;
    try {
      const response = await this.request(`/${id}/resolve/${commit}/${path}`, what, silence.signal, {
        // Bytes as they are: a compressed answer could not be continued.
        'accept-encoding': 'identity',
        ...(from > 0 ? { range: `bytes=${from}-` } : {}),
      });
      const continued = response.status === 206;
      if (continued && !(response.headers.get('content-range') ?? '').startsWith(`bytes ${from}-`)) {
        rmSync(partial, { force: true });
        throw new TryAgain(`${what}: the hub sent another part than was asked for`);
      }
      let at = continued ? from : 0;
      const counted = new Transform({
        transform: (chunk: Buffer, _, done) => {
          at += chunk.length;
          clearTimeout(timer);
          timer = setTimeout(() => silence.abort(), silenceTimeoutMs);
          onBytes(Math.min(at, file.sizeBytes));
          // A hub that sends more than it listed must not fill the disk.
          done(
            at > file.sizeBytes ? new CheckFailed(`${what} is longer than the hub listed it`) : null,
            chunk,
          );
        },
      });
      const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body as never);
      await pipeline(body, counted, createWriteStream(partial, { flags: continued ? 'a' : 'w' }));
      if (at < file.sizeBytes) throw new TryAgain(`${what} broke off at byte ${at}`);
    } catch (error) {
      throw isNetworkFault(error) ? new TryAgain(`${what}: ${reasonOf(error)}`) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  private async json<T>(path: string, what: string, schema: z.ZodType<T>): Promise<T> {
    return this.read(await this.get(path, what), schema);
  }

  private async read<T>(response: Response, schema: z.ZodType<T>): Promise<T> {
    const parsed = schema.safeParse(await response.json().catch(() => undefined));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new CheckFailed(
      `${response.url} does not answer as a hub does: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
    );
  }

  private get(path: string, what: string): Promise<Response> {
    return this.again(async () => {
      try {
        return await this.request(path, what, AbortSignal.timeout(answerTimeoutMs), {});
      } catch (error) {
        throw isNetworkFault(error) ? new TryAgain(reasonOf(error)) : error;
      }
    });
  }

  /** One request; refusals in the hub's own words are said as what they mean. */
  private async request(
    path: string,
    what: string,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>>,
  ): Promise<Response> {
    // Fetch drops the token by itself when a redirect leads to another host.
    const authorization = this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
    const url = path.startsWith('http') ? this.sameHost(path) : this.endpoint + path;
    const response = await fetch(url, { headers: { ...headers, ...authorization }, signal });
    if (response.ok) return response;
    await response.body?.cancel();
    const code = response.headers.get('x-error-code');
    if (response.status === 429 || response.status >= 500) {
      const after = Number(response.headers.get('retry-after') ?? Number.NaN);
      throw new TryAgain(
        `the hub answered HTTP ${response.status}`,
        Number.isFinite(after) ? after * 1_000 : undefined,
      );
    }
    if (response.status === 416) throw new TryAgain('the hub has no such part of the file');
    if (code === 'GatedRepo') {
      throw new LoginRefused(`${what} is gated: accept its terms at ${this.endpoint}, and set HF_TOKEN`);
    }
    if (response.status === 401 || response.status === 403) {
      throw new LoginRefused(
        `${what} is not there, or private: ${this.token === undefined ? 'set HF_TOKEN' : 'your HF_TOKEN does not open it'}`,
      );
    }
    if (response.status === 404) throw new UsageError(`${this.endpoint} has no ${what}`);
    throw new CheckFailed(`${url} answered HTTP ${response.status}`);
  }

  /** The address of a next page: on this hub, for the token goes with the request. */
  private sameHost(url: string): string {
    if (new URL(url).origin === new URL(this.endpoint).origin) return url;
    throw new CheckFailed(`${this.endpoint} continues its list of files on another host, ${url}`);
  }

  private async again<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof TryAgain)) throw error;
        if (attempt === attemptsMax) {
          throw new CheckFailed(
            `${this.endpoint}, ${attempt} times: ${error.message}; run the same command again`,
          );
        }
        await sleep(Math.min(longestWaitMs, error.afterMs ?? this.waitMs * 2 ** (attempt - 1)));
      }
    }
  }
}

/** Size and SHA-256 of a downloaded file, which must be the content that the hub listed. */
async function checked(file: HubFile, path: string): Promise<LocalFile> {
  const sizeBytes = statSync(path).size;
  const [sha256, gitBlob] = [createHash('sha256'), createHash('sha1').update(`blob ${sizeBytes}\0`)];
  for await (const chunk of createReadStream(path)) {
    sha256.update(chunk as Buffer);
    gitBlob.update(chunk as Buffer);
  }
  const digest = sha256.digest('hex');
  // Another Beamtime names small files by the first forty digits of their SHA-256.
  const fits = digest.startsWith(file.oid) || gitBlob.digest('hex') === file.oid;
  if (sizeBytes === file.sizeBytes && fits) return { path, sizeBytes, sha256: digest };
  rmSync(path, { force: true });
  throw new CheckFailed(`${file.path} came with other bytes than the hub listed; run the same command again`);
}

/** What fetch and its streams throw when the network is at fault: a TypeError, or an abort by our own timer. */
function isNetworkFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return (
    error instanceof TypeError ||
    ['AbortError', 'TimeoutError'].includes(error.name) ||
    ['ECONNRESET', 'UND_ERR_SOCKET', 'ERR_STREAM_PREMATURE_CLOSE', 'EPIPE'].includes(code ?? '')
  );
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
