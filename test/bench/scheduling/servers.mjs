// The benchmark's own PostgreSQL (durable: fsync and synchronous_commit on), Redis and scheduler service.
import { fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  createLogger,
  openDataSource,
  startEmbeddedPostgres,
  startEmbeddedRedis,
  Transactor,
} from '@beamtime/platform';
import { InProcessKnocks } from '@beamtime/platform/testing';

const must = (result) => {
  if (!result.ok) throw new Error(result.error.detail);
  return result.value;
};

/** Has PostgreSQL count what each statement costs. Needs a restart; costs some per cent. */
async function countStatements(postgres, dataDir) {
  // Nothing else keeps this process while its server is down.
  const awake = setInterval(() => undefined, 1_000);
  const admin = await openDataSource(postgres.url, []);
  await admin.query("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'");
  await admin.destroy();
  await postgres.stop();
  const again = must(await startEmbeddedPostgres({ dataDir }));
  const counting = await openDataSource(again.url, []);
  await counting.query('CREATE EXTENSION pg_stat_statements');
  await counting.query("ALTER SYSTEM SET pg_stat_statements.track = 'all'");
  await counting.query("ALTER SYSTEM SET pg_stat_statements.track_planning = 'on'");
  await counting.query('SELECT pg_reload_conf()');
  await counting.destroy();
  clearInterval(awake);
  return again;
}

/** Starts all three; `close` ends what was started, in order. @param statements counts what each costs */
export async function startServers({ leaseTtlMs = 30_000, statements = false, say }) {
  const folder = mkdtempSync(join(tmpdir(), 'beamtime-bench-'));
  const cleanUps = [() => rmSync(folder, { recursive: true, force: true })];
  const close = async () => {
    for (const step of cleanUps.splice(0).reverse()) await step();
  };
  try {
    say('starting PostgreSQL, Redis and the scheduler');
    const dataDir = join(folder, 'postgres');
    let postgres = must(await startEmbeddedPostgres({ dataDir }));
    cleanUps.push(() => postgres.stop());
    if (statements) postgres = await countStatements(postgres, dataDir);
    const redis = must(await startEmbeddedRedis({ dataDir: join(folder, 'redis') }));
    cleanUps.push(() => redis.stop());
    const child = fork(fileURLToPath(new URL('serve.mjs', import.meta.url)), {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
        BEAMTIME_SECRET: 'a secret that is only used in the benchmark',
        BEAMTIME_LOG_LEVEL: process.env.BEAMTIME_LOG_LEVEL ?? 'warn',
        BEAMTIME_LEASE_TTL_MS: String(leaseTtlMs),
        BEAMTIME_STATE_DIR: join(folder, 'state'),
        PORT: String(await freePort()),
      },
      execArgv: process.env.BENCH_NODE_ARGS?.split(' ') ?? [],
      // Ctrl-C goes to the benchmark alone, which then ends the servers in order.
      detached: true,
    });
    cleanUps.push(() => endChild(child));
    const url = await new Promise((resolve, reject) => {
      child.once('message', (message) => resolve(message.ready));
      child.once('exit', (code) => reject(new Error(`the scheduler ended with status ${code}`)));
    });
    const dataSource = await openDataSource(postgres.url, []);
    cleanUps.push(() => dataSource.destroy());
    const knocks = new InProcessKnocks(createLogger('bench', 'silent'));
    return {
      url,
      transactor: new Transactor(dataSource, knocks),
      ask: asker(child),
      close,
      /** Runs one statement however long it takes, outside a transaction. */
      maintain: async (statement) => {
        const runner = dataSource.createQueryRunner();
        try {
          await runner.query('SET statement_timeout = 0');
          await runner.query(statement);
          await runner.query('RESET statement_timeout');
        } finally {
          await runner.release();
        }
      },
      /** CPU seconds so far, peak memory, and memory now, of the service, of all PostgreSQL processes and of this process. */
      usage: () => ({
        service: usageOf([child.pid]),
        postgres: usageOf(familyOf(postgres.pid)),
        agents: usageOf([process.pid]),
      }),
      /** What each statement has cost since it was last asked; none where they are not counted. */
      takeStatements: async () => {
        if (!statements) return [];
        const rows = await dataSource.query(
          `SELECT query, calls::int, rows::int, total_exec_time + total_plan_time AS ms, wal_bytes::float8,
             (shared_blks_hit + shared_blks_read)::float8 AS buffers
           FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 40`,
        );
        await dataSource.query('SELECT pg_stat_statements_reset()');
        return rows;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function asker(child) {
  let next = 0;
  const waiting = new Map();
  child.on('message', ({ id, value, error }) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) one?.resolve(value);
    else one?.reject(new Error(error));
  });
  return (ask, input) =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      child.send({ id, ask, input });
    });
}

async function endChild(child) {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await ended;
  clearTimeout(timer);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const ticksPerSecond = 100;
const statOf = (pid) => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
};

/** A process and its children, as Linux tells; elsewhere nothing, and the tables say so. */
function familyOf(pid) {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((one) => one === pid || Number(statOf(one)?.[1]) === pid);
  } catch {
    return [];
  }
}

function usageOf(pids) {
  let cpuSeconds = 0;
  let peakMiB = 0;
  let shareMiB = 0;
  for (const pid of pids) {
    const stat = statOf(pid);
    if (stat === undefined) continue;
    cpuSeconds +=
      (Number(stat[11]) + Number(stat[12]) + Number(stat[13]) + Number(stat[14])) / ticksPerSecond;
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      peakMiB += Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
      // Pages that several processes share count once: PostgreSQL's are mostly such.
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      shareMiB += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1_024;
    } catch {
      // It has ended since.
    }
  }
  return { cpuSeconds, peakMiB, shareMiB };
}
