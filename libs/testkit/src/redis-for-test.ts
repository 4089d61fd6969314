import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { providedServers } from './provided.js';

/** A share of the test run's Redis: whoever uses `prefix` for all its keys meets no other test. */
export interface TestRedis {
  readonly url: string;
  /** Begins every key of this test; for BullMQ, its `prefix`. */
  readonly prefix: string;
  /** Deletes the keys under the prefix, and no others: the server may be in use elsewhere. */
  flush(): Promise<void>;
}

const runPrefix = (runId: string): string => `beamtime-test:${runId}:`;

/** Keys asked for, and deleted, at a time. */
const keysPerScan = 500;

export function redisForTest(): TestRedis {
  const { redisUrl, runId } = providedServers();
  const prefix = `${runPrefix(runId)}${randomBytes(5).toString('hex')}`;
  return { url: redisUrl, prefix, flush: () => deleteKeys(redisUrl, prefix) };
}

export function deleteKeysOf(redisUrl: string, runId: string): Promise<void> {
  return deleteKeys(redisUrl, runPrefix(runId));
}

async function deleteKeys(redisUrl: string, prefix: string): Promise<void> {
  const client = new Redis(redisUrl, { lazyConnect: true });
  await client.connect();
  try {
    let cursor = '0';
    do {
      const [next, keys] = await client.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', keysPerScan);
      if (keys.length > 0) await client.unlink(...keys);
      cursor = next;
    } while (cursor !== '0');
  } finally {
    client.disconnect();
  }
}
