import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Problem, Result } from '@beamtime/kernel';
import { startEmbeddedPostgres, startEmbeddedRedis } from '@beamtime/platform';
import type { TestProject } from 'vitest/node';
import { deleteKeysOf } from './redis-for-test.js';
import { dropDatabasesOf, dropForgottenDatabases, forgottenAfterMs, newRunId } from './test-databases.js';
import './provided.js';

const folderPrefix = 'beamtime-test-';
/** The servers of a run that was killed take a moment to end. */
const settledAfterMs = 60_000;

/**
 * Once per test run: the servers that DATABASE_URL and REDIS_URL name, otherwise own ones in a temporary folder,
 * which end with the run. On a named server only what this run made is removed.
 */
export default async function provideServers(project: TestProject): Promise<() => Promise<void>> {
  const runId = newRunId(Date.now(), randomBytes(3).toString('hex'));
  await removeForgottenFolders(Date.now());
  const folder = await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  // Open to pass through: as root, PostgreSQL runs as another user. The secrets inside are closed by themselves.
  await chmod(folder, 0o755);
  const cleanUps: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  const cleanUp = async (): Promise<void> => {
    for (const step of cleanUps.reverse()) await step();
  };
  try {
    const databaseUrl = process.env['DATABASE_URL'] || (await ownPostgres(folder, cleanUps));
    await dropForgottenDatabases(databaseUrl, Date.now());
    if (process.env['DATABASE_URL']) cleanUps.push(() => dropDatabasesOf(databaseUrl, runId));
    const redisUrl = process.env['REDIS_URL'] || (await ownRedis(folder, cleanUps));
    if (process.env['REDIS_URL']) cleanUps.push(() => deleteKeysOf(redisUrl, runId));
    project.provide('servers', { databaseUrl, redisUrl, runId });
  } catch (error) {
    await cleanUp();
    throw error;
  }
  return cleanUp;
}

async function ownPostgres(folder: string, cleanUps: (() => Promise<void>)[]): Promise<string> {
  const server = started(
    await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), database: 'postgres', durable: false }),
  );
  cleanUps.push(() => server.stop());
  return server.url;
}

async function ownRedis(folder: string, cleanUps: (() => Promise<void>)[]): Promise<string> {
  const server = started(await startEmbeddedRedis({ dataDir: join(folder, 'redis'), durable: false }));
  cleanUps.push(() => server.stop());
  return server.url;
}

function started<Server>(result: Result<Server, Problem>): Server {
  if (!result.ok) throw new Error(result.error.detail);
  return result.value;
}

/** A run that was killed leaves its folder behind, without its servers; the folder's name tells whose it is. */
async function removeForgottenFolders(nowMs: number): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(folderPrefix)) continue;
    const path = join(tmpdir(), name);
    const pid = Number(/^(\d+)-/.exec(name.slice(folderPrefix.length))?.[1]);
    const found = await stat(path).catch(() => undefined);
    if (!found || isRunning(pid)) continue;
    // Without a pid it is of some other part of the kit, which may still use it.
    const keptMs = Number.isNaN(pid) ? forgottenAfterMs : settledAfterMs;
    if (nowMs - found.mtimeMs > keptMs) await rm(path, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
