import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EmbeddedServer } from './embedded-server.js';
import { identifyProcess, waitForEnd } from './process-identity.js';
import { startEmbeddedPostgres } from './start-embedded-postgres.js';
import { findRedisServer, startEmbeddedRedis } from './start-embedded-redis.js';

let folder: string;
const running: EmbeddedServer[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'beamtime-embedded-'));
  await chmod(folder, 0o755);
});

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function postgres(options: { port?: number; durable?: boolean } = {}): Promise<EmbeddedServer> {
  const started = await startEmbeddedPostgres({ dataDir: folder, durable: false, ...options });
  if (!started.ok) throw new Error(started.error.detail);
  running.push(started.value);
  return started.value;
}

async function redis(options: { port?: number } = {}): Promise<EmbeddedServer> {
  const started = await startEmbeddedRedis({ dataDir: folder, ...options });
  if (!started.ok) throw new Error(started.error.detail);
  running.push(started.value);
  return started.value;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function redisDoes<T>(url: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    client.disconnect();
  }
}

/** Starts a server, with the library as built, in a process of its own; tells the server's pid once it serves. */
async function startInAnotherProcess(
  kind: 'postgres' | 'redis',
): Promise<{ parent: ChildProcess; serverPid: number }> {
  const script = `
    const library = await import(process.argv[1]);
    const start = library.startEmbeddedPostgres ?? library.startEmbeddedRedis;
    const started = await start({ dataDir: process.argv[2] });
    console.log(started.ok ? started.value.pid : started.error.detail);
    setInterval(() => undefined, 1000);`;
  const library = new URL(`../../dist/embedded/start-embedded-${kind}.js`, import.meta.url).href;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script, library, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  return { parent, serverPid: Number.parseInt(line.toString(), 10) };
}

describe('the embedded PostgreSQL', () => {
  it('keeps its data, its address and its password through a restart', async () => {
    const first = await postgres();
    await query(first.url, 'CREATE TABLE thing AS SELECT 7 AS n');
    await first.stop();
    const second = await postgres();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'SELECT n FROM thing')).toEqual([{ n: 7 }]);
  });

  it('takes no connection without its password, which nobody else can read', async () => {
    const server = await postgres();
    const wrong = new URL(server.url);
    wrong.password = 'guess';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
    expect((await stat(join(folder, 'password'))).mode & 0o077).toBe(0);
  });

  it('recovers after a SIGKILL of the server, whatever its lock file says', async () => {
    const first = await postgres({ durable: true });
    await query(first.url, 'CREATE TABLE thing AS SELECT 7 AS n');
    process.kill(first.pid, 'SIGKILL');
    await first.ended;
    await first.stop();
    const second = await postgres();
    expect(await query(second.url, 'SELECT n FROM thing')).toEqual([{ n: 7 }]);
  });

  it('does not outlive a process that was killed, and starts again on its folder', async () => {
    const { parent, serverPid } = await startInAnotherProcess('postgres');
    const leftover = identifyProcess(serverPid);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    const server = await postgres();
    expect(await query(server.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(leftover && (await waitForEnd(leftover, 5_000))).toBe(true);
  });

  it('is refused a folder that another running process uses', async () => {
    await postgres();
    const second = await startEmbeddedPostgres({ dataDir: folder, durable: false });
    expect(second).toMatchObject({ ok: false, error: { code: 'embedded.in-use' } });
    expect(second.ok ? '' : second.error.detail).toContain(`process ${process.pid}`);
  });

  it('says in one sentence that a port is taken, and leaves the folder free', async () => {
    const { port, close } = await occupyPort();
    const refused = await startEmbeddedPostgres({ dataDir: folder, durable: false, port });
    expect(refused).toMatchObject({ ok: false, error: { code: 'embedded.port-taken', facts: { port } } });
    await close();
    expect((await postgres({ port })).port).toBe(port);
  });

  it('begins an interrupted making of the cluster anew', async () => {
    await mkdir(join(folder, 'cluster', 'data.new', 'base'), { recursive: true });
    const server = await postgres();
    expect(await query(server.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it.runIf(process.getuid?.() === 0)('runs for root on a folder that its own user cannot reach', async () => {
    await chmod(folder, 0o700);
    const lines: string[] = [];
    const started = await startEmbeddedPostgres({
      dataDir: folder,
      durable: false,
      say: (line) => lines.push(line),
    });
    if (!started.ok) throw new Error(started.error.detail);
    running.push(started.value);
    const farFolder = (await readFile(join(folder, 'cluster-is-in.txt'), 'utf8')).trim();
    expect(lines.join('\n')).toContain(farFolder);
    expect(existsSync(join(farFolder, 'data', 'PG_VERSION'))).toBe(true);
    await started.value.stop();
    await rm(farFolder, { recursive: true });
  });
});

describe('the embedded Redis', () => {
  it('keeps its data, its address and its password through a restart', async () => {
    const first = await redis();
    await redisDoes(first.url, (client) => client.set('a', '7'));
    await first.stop();
    const second = await redis();
    expect(second.url).toBe(first.url);
    expect(await redisDoes(second.url, (client) => client.get('a'))).toBe('7');
  });

  it('never evicts, and takes no command without its password', async () => {
    const server = await redis();
    expect(await redisDoes(server.url, (client) => client.config('GET', 'maxmemory-policy'))).toEqual([
      'maxmemory-policy',
      'noeviction',
    ]);
    const anonymous = new URL(server.url);
    anonymous.password = '';
    await expect(redisDoes(anonymous.href, (client) => client.get('a'))).rejects.toThrow();
  });

  it('does not outlive a process that was killed, and starts again on its folder', async () => {
    const { parent, serverPid } = await startInAnotherProcess('redis');
    const leftover = identifyProcess(serverPid);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    const server = await redis();
    expect(await redisDoes(server.url, (client) => client.ping())).toBe('PONG');
    expect(leftover && (await waitForEnd(leftover, 5_000))).toBe(true);
  });

  it('says in one sentence that a port is taken', async () => {
    const { port, close } = await occupyPort();
    const refused = await startEmbeddedRedis({ dataDir: folder, port });
    expect(refused).toMatchObject({ ok: false, error: { code: 'embedded.port-taken', facts: { port } } });
    await close();
  });
});

describe('the search for a Redis binary', () => {
  it('finds the one on the path', () => {
    expect(findRedisServer()).toMatchObject({ ok: true });
  });
});

async function occupyPort(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return {
    port: address.port,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
