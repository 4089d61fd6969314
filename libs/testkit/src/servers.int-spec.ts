import { Redis } from 'ioredis';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createTemplate, freshDatabase, redisForTest, startDisposableRedis } from './index.js';

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('a fresh database', () => {
  it('is empty, and not the one of another test', async () => {
    const one = await freshDatabase();
    const other = await freshDatabase();
    await query(one.url, 'CREATE TABLE thing (n int)');
    expect(await query(other.url, `SELECT to_regclass('thing') AS found`)).toEqual([{ found: null }]);
    await one.drop();
    await other.drop();
    await expect(query(one.url, 'SELECT 1')).rejects.toThrow(/does not exist/);
  });

  it('is dropped although somebody is still connected', async () => {
    const database = await freshDatabase();
    const client = new pg.Client({ connectionString: database.url });
    client.on('error', () => undefined);
    await client.connect();
    await database.drop();
    await expect(query(database.url, 'SELECT 1')).rejects.toThrow(/does not exist/);
  });
});

describe('a template', () => {
  const migrate = (counted: string[]) => async (url: string) => {
    counted.push(url);
    await query(url, 'CREATE TABLE thing (n int); INSERT INTO thing VALUES (7)');
  };

  it('is migrated once however many ask for it, and copied for each', async () => {
    const migrations: string[] = [];
    const templates = await Promise.all(
      Array.from({ length: 4 }, () => createTemplate(migrate(migrations), 'counted')),
    );
    const databases = await Promise.all(templates.map((from) => freshDatabase({ from })));
    expect(migrations).toHaveLength(1);
    for (const { url, drop } of databases) {
      expect(await query(url, 'SELECT n FROM thing')).toEqual([{ n: 7 }]);
      await drop();
    }
  });

  it('is made anew after a migration that failed', async () => {
    const failing = createTemplate(async (url) => {
      await query(url, 'CREATE TABLE half (n int)');
      throw new Error('broken migration');
    }, 'flaky');
    await expect(failing).rejects.toThrow('broken migration');
    const database = await freshDatabase({ from: await createTemplate(migrate([]), 'flaky') });
    expect(await query(database.url, `SELECT to_regclass('half') AS half`)).toEqual([{ half: null }]);
    await database.drop();
  });
});

describe("the run's Redis", () => {
  it('loses only the keys under the prefix when a test flushes it', async () => {
    const mine = redisForTest();
    const others = redisForTest();
    const client = new Redis(mine.url);
    await client.set(`${mine.prefix}:a`, '1');
    await client.set(`${others.prefix}:a`, '1');
    await mine.flush();
    expect(await client.exists(`${mine.prefix}:a`)).toBe(0);
    expect(await client.exists(`${others.prefix}:a`)).toBe(1);
    await others.flush();
    client.disconnect();
  });
});

describe('a disposable Redis', () => {
  it('can be emptied, killed and started again at the same address', async () => {
    const redis = await startDisposableRedis();
    const client = new Redis(redis.url, { maxRetriesPerRequest: null });
    client.on('error', () => undefined);
    await client.set('a', '1');
    await redis.empty();
    expect(await client.exists('a')).toBe(0);
    await client.set('a', '1');
    await redis.kill();
    await redis.restart();
    expect(await client.exists('a')).toBe(0);
    client.disconnect();
    await redis.stop();
  });
});
