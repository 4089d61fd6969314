import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as WebStream } from 'node:stream/web';
import type { CommandJob } from '@beamtime/contracts';
import { StagingFailed } from '../input-cache.js';
import { pause } from '../pause.js';
import { admitsHost } from './match-image.js';

const triesPerFile = 4;
const retryBaseMs = 500;
const redirectsMax = 5;
/** No byte for so long: the connection is dead. */
const silenceMs = 30_000;

/** A refusal that another try would not change. */
class Refused extends StagingFailed {}

/** Fetches the inputs that lie on the web into the task's files, from hosts that the operator of this cluster allows. */
export async function fetchInputs(
  downloads: CommandJob['downloads'],
  root: string,
  allowed: { readonly hosts: readonly string[]; readonly bytesMax: number },
  signal: AbortSignal,
): Promise<void> {
  let room = allowed.bytesMax;
  for (const { path, url } of downloads) {
    const target = `${root}${path}`;
    await mkdir(dirname(target), { recursive: true });
    room -= await retried(path, signal, () => fetchOne(new URL(url), target, allowed.hosts, room, signal));
  }
}

async function retried(path: string, signal: AbortSignal, work: () => Promise<number>): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refused || tries >= triesPerFile)
        throw new StagingFailed(`${path} could not be fetched: ${(error as Error).message}`);
      await pause(retryBaseMs * 2 ** tries, signal);
    }
  }
}

async function fetchOne(
  first: URL,
  target: string,
  hosts: readonly string[],
  room: number,
  signal: AbortSignal,
): Promise<number> {
  let url = first;
  for (let hops = 0; hops <= redirectsMax; hops++) {
    requireAllowed(url, hosts);
    const response = await fetch(url, { redirect: 'manual', signal });
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel();
      // Each step is looked at: an open redirector must not lead into the lab's own network.
      url = new URL(location, url);
      continue;
    }
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      const text = `${url.host} answered ${response.status}`;
      throw response.status >= 500 || response.status === 429 ? new Error(text) : new Refused(text);
    }
    return save(response.body as WebStream, target, room, signal);
  }
  throw new Refused(`more than ${redirectsMax} redirects`);
}

export function requireAllowed(url: URL, hosts: readonly string[]): void {
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Refused(`${url.protocol} is not fetched here`);
  if (!admitsHost(hosts, url)) throw new Refused(`this cluster does not speak to ${url.host}`);
}

async function save(body: WebStream, target: string, room: number, signal: AbortSignal): Promise<number> {
  const silence = new AbortController();
  const wake = (): NodeJS.Timeout =>
    setTimeout(() => silence.abort(new Error('the connection went silent')), silenceMs);
  let timer = wake();
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Buffer, _, done) {
      clearTimeout(timer);
      timer = wake();
      bytes += chunk.length;
      if (bytes > room) done(new Refused('it is larger than this cluster fetches for one task'));
      else done(null, chunk);
    },
  });
  try {
    await pipeline(Readable.fromWeb(body), count, createWriteStream(target), {
      signal: AbortSignal.any([signal, silence.signal]),
    });
    return bytes;
  } finally {
    clearTimeout(timer);
  }
}
