import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedServer, startEmbeddedRedis } from '@beamtime/platform';
import { Redis } from 'ioredis';

/** A Redis of one test's own, which may be emptied, killed and started again, as no shared one may. */
export interface DisposableRedis {
  /** The same through every restart. */
  readonly url: string;
  /** FLUSHALL: all of it is lost while the connections stay. */
  empty(): Promise<void>;
  /** SIGKILL: the connections break, and nothing is kept. */
  kill(): Promise<void>;
  /** Starts it again, empty, at the same address. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startDisposableRedis(): Promise<DisposableRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'beamtime-redis-'));
  let server = await start(folder);
  const { url, port } = server;
  return {
    url,
    empty: async () => {
      const client = new Redis(url, { lazyConnect: true });
      await client.connect();
      await client.flushall();
      client.disconnect();
    },
    kill: async () => {
      process.kill(server.pid, 'SIGKILL');
      await server.ended;
      await server.stop();
    },
    restart: async () => {
      server = await start(folder, port);
    },
    stop: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function start(folder: string, port?: number): Promise<EmbeddedServer> {
  const started = await startEmbeddedRedis({
    dataDir: folder,
    durable: false,
    ...(port !== undefined && { port }),
  });
  if (!started.ok) throw new Error(started.error.detail);
  return started.value;
}
