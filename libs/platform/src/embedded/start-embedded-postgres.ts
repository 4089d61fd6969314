import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import pg from 'pg';
import type { EmbeddedServer, EmbeddedServerProblem } from './embedded-server.js';
import { findFreePort, isPortFree, loopback } from './free-port.js';
import { findPostgresBinaries } from './postgres-binaries.js';
import { choosePostgresHome, type PostgresHome } from './postgres-home.js';
import { lockPathOf, postmasterOf } from './postgres-lock.js';
import { type StopPlan, stopProcess } from './process-identity.js';
import { runToEnd } from './run-to-end.js';
import { type ServerProcess, startServerProcess, tailOfLog } from './server-process.js';
import { type ClaimedFolder, claimStateFolder, portOfLastStart } from './state-folder.js';

export interface EmbeddedPostgresOptions {
  /** The folder for everything it keeps; the data survives restarts. */
  readonly dataDir: string;
  /** Default: the port of the last start if it is free, otherwise any free one. */
  readonly port?: number;
  /** Default true: a committed transaction survives a power cut. False is for tests, whose data nobody misses. */
  readonly durable?: boolean;
  /** The database made at the first start; default "beamtime". */
  readonly database?: string;
  /** Gets a line when something takes long or lies elsewhere than expected. */
  readonly say?: (line: string) => void;
}

const superuser = 'beamtime';
/** Crash recovery after a kill may replay up to max_wal_size (1 GB by default); far more than it needs here. */
const readyTimeoutMs = 120_000;
const initTimeoutMs = 120_000;
const readyPollMs = 50;
/** Enough for every pool of a facility in one process and of two test workers beside each other. */
const connectionsMax = 200;

/** Fast shutdown (disconnect, write everything), then immediate (recover at the next start), then force. */
const orderlyStop: StopPlan = [
  ['SIGINT', 30_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
];
/**
 * Starts PostgreSQL of its own on the loopback interface, with a password made at the first start. It ends with
 * this process; should both be killed, the next start on the same folder stops what is left and recovers.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<Result<EmbeddedServer, EmbeddedServerProblem>> {
  const binaries = findPostgresBinaries();
  if (!binaries.ok) return binaries;
  const claimed = claimStateFolder(resolve(options.dataDir));
  if (!claimed.ok) return claimed;
  const folder = claimed.value;
  let started: Result<EmbeddedServer, EmbeddedServerProblem> | undefined;
  try {
    const say = options.say ?? (() => undefined);
    if (folder.last && !(await stopProcess(folder.last.server, orderlyStop)))
      return err(startFailed(`the earlier server, process ${folder.last.server.pid}, does not stop`));
    const password = folder.secret('password');
    const home = choosePostgresHome(folder.path, binaries.value, password, say);
    if (!home.ok) return err(startFailed(home.error));
    const made = await initialiseCluster(home.value, password, options.durable ?? true, say);
    started = made.ok ? await startOn(folder, home.value, password, options) : made;
    return started;
  } finally {
    if (!started?.ok) folder.release();
  }
}

/** Makes the cluster under another name and renames it when whole: an interrupted one is begun anew. */
async function initialiseCluster(
  home: PostgresHome,
  password: string,
  durable: boolean,
  say: (line: string) => void,
): Promise<Result<void, EmbeddedServerProblem>> {
  if (existsSync(join(home.folder, 'data'))) return ok(undefined);
  say('making the PostgreSQL cluster (a few seconds, once)');
  const draft = join(home.folder, 'data.new');
  const passwordPath = join(home.folder, 'initial-password');
  rmSync(draft, { recursive: true, force: true });
  rmSync(passwordPath, { force: true });
  // Readable for the cluster's user, inside a folder that only this user can enter, and gone after a moment.
  writeFileSync(passwordPath, `${password}\n`, { mode: home.user ? 0o644 : 0o600 });
  const initdb = await runToEnd({
    command: join(home.binFolder, 'initdb'),
    args: [
      `--pgdata=${draft}`,
      `--username=${superuser}`,
      `--pwfile=${passwordPath}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The same order of text on every machine, whatever locales it has.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      ...(durable ? [] : ['--no-sync']),
    ],
    timeoutMs: initTimeoutMs,
    ...home.user,
  });
  rmSync(passwordPath, { force: true });
  if (initdb.exitCode !== 0) return err(startFailed(`initdb failed: ${initdb.output.trim().slice(-500)}`));
  renameSync(draft, join(home.folder, 'data'));
  return ok(undefined);
}

async function startOn(
  folder: ClaimedFolder,
  home: PostgresHome,
  password: string,
  options: EmbeddedPostgresOptions,
): Promise<Result<EmbeddedServer, EmbeddedServerProblem>> {
  const durable = options.durable ?? true;
  const dataPath = join(home.folder, 'data');
  await clearStaleLock(dataPath);
  const port = options.port ?? (await findFreePort(portOfLastStart(folder.path)));
  if (!(await isPortFree(port))) return err(portTaken(port));
  const logPath = join(folder.path, 'server.log');
  const server = await startServerProcess({
    command: join(home.binFolder, 'postgres'),
    args: ['-D', dataPath, ...settings({ port, durable })],
    logPath,
    stopSignal: 'INT',
    ...home.user,
  });
  if (!server) return err(startFailed(`postgres does not run at all (see ${logPath})`));
  folder.record({ server: server.identity, port });
  const database = options.database ?? 'beamtime';
  const url = (name: string): string =>
    `postgresql://${superuser}:${password}@${loopback}:${port}/${encodeURIComponent(name)}`;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    await server.stop(orderlyStop);
    folder.forgetServer();
    folder.release();
  };
  let stopped = false;
  const ready = await waitUntilReady(server, url('postgres'), logPath);
  if (!ready.ok) {
    await stop();
    return ready;
  }
  await ensureDatabase(url('postgres'), database);
  return ok({
    url: url(database),
    host: loopback,
    port,
    pid: server.identity.pid,
    logPath,
    ended: server.ended,
    stop,
  });
}

function settings({ port, durable }: { port: number; durable: boolean }): string[] {
  const all: Record<string, string | number> = {
    listen_addresses: loopback,
    port,
    unix_socket_directories: '',
    max_connections: connectionsMax,
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function waitUntilReady(
  server: ServerProcess,
  url: string,
  logPath: string,
): Promise<Result<void, EmbeddedServerProblem>> {
  for (const deadlineMs = Date.now() + readyTimeoutMs; Date.now() < deadlineMs; ) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return ok(undefined);
    } catch (error) {
      // Wrong password: the state folder's secret is not the one that the cluster was made with.
      if ((error as { code?: string }).code === '28P01')
        return err(startFailed('it does not accept the password kept beside it'));
    }
    if (server.hasEnded()) {
      const reason = tailOfLog(logPath, /FATAL|PANIC|error while loading|not found/);
      return err(startFailed(`${reason || 'it ended at once'} (see ${logPath})`));
    }
    await new Promise((wake) => setTimeout(wake, readyPollMs));
  }
  return err(startFailed(`it is not ready after ${readyTimeoutMs / 1000} s (see ${logPath})`));
}

async function ensureDatabase(adminUrl: string, database: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
}

/**
 * PostgreSQL itself clears the lock file of a dead server, but not when its pid has since gone to another process
 * or to a zombie, as happens in containers. A live server on this folder that nobody recorded is stopped.
 */
async function clearStaleLock(dataPath: string): Promise<void> {
  if (process.platform !== 'linux') return;
  const holder = postmasterOf(dataPath);
  if (holder) await stopProcess(holder, orderlyStop);
  else rmSync(lockPathOf(dataPath), { force: true });
}

function portTaken(port: number): EmbeddedServerProblem {
  return problem(
    'embedded.port-taken',
    `Port ${port} on ${loopback} is taken, so PostgreSQL cannot start there: free it or choose another.`,
    { port },
  );
}

function startFailed(reason: string): EmbeddedServerProblem {
  return problem('embedded.start-failed', `PostgreSQL did not start: ${reason}.`);
}
