import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StagedInput } from '@beamtime/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { InputCache } from './input-cache.js';

const mib = 1024 * 1024;
const root = mkdtempSync(join(tmpdir(), 'beamtime-cache-'));
const smallDisk = join(root, 'disk');

/** A disk that can be filled needs a right that not every machine gives. */
const hasSmallDisk = ((): boolean => {
  mkdirSync(smallDisk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', smallDisk], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** An object store: names each content by its path. */
const stored = new Map<string, Buffer>();
const fetched: string[] = [];
/** Answers only once this has resolved. */
let gate: Promise<void> = Promise.resolve();
let server: Server;

beforeAll(async () => {
  server = createServer((request, response) => {
    const name = (request.url ?? '').slice(1);
    fetched.push(name);
    void gate.then(() => response.end(stored.get(name)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  if (hasSmallDisk) execFileSync('umount', [smallDisk]);
  rmSync(root, { recursive: true, force: true });
});

function input(name: string, bytes: number, path = `data/${name}`): StagedInput {
  const content = stored.get(name) ?? randomBytes(bytes);
  stored.set(name, content);
  const { port } = server.address() as AddressInfo;
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { path, sizeBytes: content.length, sha256, url: `http://127.0.0.1:${port}/${name}` };
}

const never = new AbortController().signal;
let home: string;
let works: number;

beforeEach(() => {
  home = mkdtempSync(join(root, 'agent-'));
  works = 0;
  stored.clear();
  fetched.length = 0;
  gate = Promise.resolve();
});

async function stage(cache: InputCache, inputs: readonly StagedInput[], at = home): Promise<string> {
  const workdir = join(at, `work-${++works}`);
  mkdirSync(workdir);
  await cache.stage(inputs, workdir, never);
  for (const { path, sizeBytes } of inputs) expect(readFileSync(join(workdir, path)).length).toBe(sizeBytes);
  return workdir;
}

describe('the cache of inputs', () => {
  it('fetches each content once, and knows after a restart what it holds', async () => {
    const [a, b] = [input('a', 1_000), input('b', 5_000)];
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    await stage(cache, [a, b]);
    await stage(cache, [a, { ...b, path: 'again/b' }]);
    expect(fetched.sort()).toEqual(['a', 'b']);
    expect(cache.content().sha256).toEqual([b.sha256, a.sha256]);
    const next = new InputCache(join(home, 'cache'), 100_000, 0);
    await next.open();
    expect(next.content().sha256).toEqual([b.sha256, a.sha256]);
  });

  it('counts what is there already once when it makes room', async () => {
    const [a, b] = [input('a', 40_000), input('b', 40_000)];
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    await stage(cache, [a, b]);
    await stage(cache, [b]);
    await stage(cache, [a]);
    expect(fetched.sort()).toEqual(['a', 'b']);
  });

  it('lets go what was not used for longest, and says so by another version', async () => {
    const [a, b, c] = [input('a', 40_000), input('b', 40_000), input('c', 40_000)];
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    await stage(cache, [a]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await stage(cache, [b]);
    const { version } = cache.content();
    expect(cache.content().version).toBe(version);
    await stage(cache, [c]);
    expect([...cache.content().sha256].sort()).toEqual([b.sha256, c.sha256].sort());
    expect(cache.content().version).toBeGreaterThan(version);
  });

  it('takes nothing away from an attempt that is being staged', async () => {
    const [a, b, slow] = [input('a', 60_000), input('b', 60_000), input('slow', 10)];
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    await stage(cache, [a]);
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    // Its first file lies in the cache; it takes hold of it only when the other one has come.
    const first = stage(cache, [slow, slow, slow, slow, a]);
    const second = stage(cache, [b]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    open();
    await Promise.all([first, second]);
    expect(fetched.filter((name) => name === 'a')).toHaveLength(1);
  });

  it('lets an attempt go on when another one that fetched the same is given up', async () => {
    const a = input('a', 1_000);
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    let open = (): void => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const givenUp = new AbortController();
    const first = cache.stage([a], join(home, 'given-up'), givenUp.signal);
    const second = stage(cache, [a]);
    givenUp.abort();
    await expect(first).rejects.toThrow();
    open();
    await second;
  });

  it('keeps a state that an attempt saved, if it is what was announced', async () => {
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    const [good, forged] = [input('good', 2_000), input('forged', 2_000)];
    const files = [good, forged].map(({ sha256, sizeBytes }, at) => {
      const path = join(home, `state-${at}`);
      writeFileSync(path, at === 0 ? (stored.get('good') as Buffer) : randomBytes(2_000));
      return { path, sha256, sizeBytes };
    });
    const { done } = await cache.adopt(files);
    expect(files.some(({ path }) => existsSync(path))).toBe(false);
    await done;
    expect(cache.content().sha256).toEqual([good.sha256]);
    expect(readdirSync(join(home, 'cache'))).toEqual([good.sha256]);
    await stage(cache, [{ ...good, path: 'resume/state' }]);
    expect(fetched).toEqual([]);
  });

  it('looks at a state that an earlier process took and had no time to look at', async () => {
    const [good, forged] = [input('good', 2_000), input('forged', 2_000)];
    mkdirSync(join(home, 'cache'));
    writeFileSync(join(home, 'cache', `${good.sha256}.kept`), stored.get('good') as Buffer);
    writeFileSync(join(home, 'cache', `${forged.sha256}.kept`), randomBytes(2_000));
    const cache = new InputCache(join(home, 'cache'), 100_000, 0);
    await cache.open();
    await expect.poll(() => readdirSync(join(home, 'cache'))).toEqual([good.sha256]);
    expect(cache.content().sha256).toEqual([good.sha256]);
  });
});

describe.skipIf(!hasSmallDisk)('the cache of inputs on a disk that is nearly full', () => {
  const at = smallDisk;
  beforeEach(() => {
    for (const name of readdirSync(at)) rmSync(join(at, name), { recursive: true });
  });
  const cacheOf = (reserveBytes = 0): InputCache =>
    new InputCache(join(at, 'cache'), 100 * mib, reserveBytes);

  it('gives way to what is coming, though it might be larger', async () => {
    const cache = cacheOf();
    rmSync(await stage(cache, [input('a', 1.5 * mib), input('b', 1.5 * mib)], at), { recursive: true });
    await stage(cache, [input('c', 2 * mib)], at);
  });

  it('gives way also when a copy finds no place', async () => {
    const cache = cacheOf();
    rmSync(await stage(cache, [input('a', 1.5 * mib)], at), { recursive: true });
    await stage(cache, [input('state', 1.5 * mib, 'resume/state')], at);
    expect(cache.content().sha256).toHaveLength(1);
  });

  it('gives way to programs that fill it', async () => {
    const cache = cacheOf(mib);
    const workdir = await stage(cache, [input('a', 1.5 * mib)], at);
    writeFileSync(join(workdir, 'written'), randomBytes(2 * mib));
    // What the attempt links to would free nothing.
    await cache.relieve();
    expect(cache.content().sha256).toHaveLength(1);
    rmSync(join(workdir, 'data'), { recursive: true });
    await cache.relieve();
    expect(cache.content().sha256).toEqual([]);
  });

  it('fails the attempt only when nothing is left to give, and leaves no half file behind', async () => {
    const cache = cacheOf();
    await stage(cache, [input('a', 1 * mib)], at);
    await expect(stage(cache, [input('large', 3.5 * mib)], at)).rejects.toThrow('ENOSPC');
    expect(readdirSync(join(at, 'cache'))).toHaveLength(1);
  });
});
