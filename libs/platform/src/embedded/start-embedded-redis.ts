import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Redis } from 'ioredis';
import type { EmbeddedServer, EmbeddedServerProblem } from './embedded-server.js';
import { findFreePort, isPortFree, loopback } from './free-port.js';
import { type StopPlan, stopProcess } from './process-identity.js';
import { type ServerProcess, startServerProcess, tailOfLog } from './server-process.js';
import { type ClaimedFolder, claimStateFolder, portOfLastStart } from './state-folder.js';

export interface EmbeddedRedisOptions {
  /** The folder for everything it keeps. */
  readonly dataDir: string;
  /** Default: the port of the last start if it is free, otherwise any free one. */
  readonly port?: number;
  /** Default true: an append-only file, so that a restart keeps what waits in the queues. False is for tests. */
  readonly durable?: boolean;
}

/** Loading a large append-only file takes seconds; nothing here makes one that takes a minute. */
const readyTimeoutMs = 60_000;
const readyPollMs = 25;

const orderlyStop: StopPlan = [
  ['SIGTERM', 15_000],
  ['SIGKILL', 5_000],
];

/**
 * Starts a Redis (or Valkey) of its own from the machine's binary, on the loopback interface with a password made
 * at the first start. It ends with this process; a leftover is stopped by the next start on the same folder.
 */
export async function startEmbeddedRedis(
  options: EmbeddedRedisOptions,
): Promise<Result<EmbeddedServer, EmbeddedServerProblem>> {
  const command = findRedisServer();
  if (!command.ok) return command;
  const claimed = claimStateFolder(resolve(options.dataDir));
  if (!claimed.ok) return claimed;
  const folder = claimed.value;
  let started: Result<EmbeddedServer, EmbeddedServerProblem> | undefined;
  try {
    if (folder.last && !(await stopProcess(folder.last.server, orderlyStop)))
      return err(startFailed(`the earlier server, process ${folder.last.server.pid}, does not stop`));
    started = await startOn(folder, command.value, options);
    return started;
  } finally {
    if (!started?.ok) folder.release();
  }
}

/** The server's program on this machine: Redis or its fork Valkey, which speak the same protocol. */
export function findRedisServer(
  searchPath = process.env['PATH'] ?? '',
): Result<string, Problem<'embedded.binary-missing'>> {
  // Debian's ordinary users and some macOS shells have not all of these on their path.
  const folders = [
    ...searchPath.split(delimiter),
    '/usr/bin',
    '/usr/local/bin',
    '/opt/homebrew/bin',
    '/usr/sbin',
  ];
  for (const name of ['redis-server', 'valkey-server'])
    for (const folder of folders)
      if (folder !== '' && isExecutable(join(folder, name))) return ok(join(folder, name));
  return err(
    problem(
      'embedded.binary-missing',
      'Neither redis-server nor valkey-server is installed: install one (Debian, Ubuntu: "apt-get install redis-server"; macOS: "brew install redis"), or set REDIS_URL to a running server.',
    ),
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function startOn(
  folder: ClaimedFolder,
  command: string,
  options: EmbeddedRedisOptions,
): Promise<Result<EmbeddedServer, EmbeddedServerProblem>> {
  const port = options.port ?? (await findFreePort(portOfLastStart(folder.path)));
  if (!(await isPortFree(port))) return err(portTaken(port));
  const password = folder.secret('password');
  const dataPath = join(folder.path, 'data');
  mkdirSync(dataPath, { recursive: true, mode: 0o700 });
  const logPath = join(folder.path, 'server.log');
  const server = await startServerProcess({
    command,
    args: ['-'],
    stdin: settings({ port, password, dataPath, durable: options.durable ?? true }),
    logPath,
    stopSignal: 'TERM',
  });
  if (!server) return err(startFailed(`${command} does not run at all`));
  folder.record({ server: server.identity, port });
  const url = `redis://:${password}@${loopback}:${port}`;
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    await server.stop(orderlyStop);
    folder.forgetServer();
    folder.release();
  };
  const ready = await waitUntilReady(server, url, logPath);
  if (!ready.ok) {
    await stop();
    return ready;
  }
  return ok({ url, host: loopback, port, pid: server.identity.pid, logPath, ended: server.ended, stop });
}

/** Passed by standard input, so that the password shows in no list of processes. */
function settings(of: { port: number; password: string; dataPath: string; durable: boolean }): string {
  const lines = [
    `bind ${loopback}`,
    `port ${of.port}`,
    `requirepass ${of.password}`,
    `dir ${JSON.stringify(of.dataPath)}`,
    'daemonize no',
    // A queue that evicts entries loses work: BullMQ insists on this.
    'maxmemory-policy noeviction',
    // Redis keeps no truth: the append-only file alone is enough, snapshots would only double the writing.
    'save ""',
    `appendonly ${of.durable ? 'yes' : 'no'}`,
    'appendfsync everysec',
  ];
  return `${lines.join('\n')}\n`;
}

async function waitUntilReady(
  server: ServerProcess,
  url: string,
  logPath: string,
): Promise<Result<void, EmbeddedServerProblem>> {
  let lastError = '';
  for (const deadlineMs = Date.now() + readyTimeoutMs; Date.now() < deadlineMs; ) {
    const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.ping();
      return ok(undefined);
    } catch (error) {
      lastError = error instanceof Error ? error.message : String(error);
    } finally {
      client.disconnect();
    }
    if (server.hasEnded()) {
      const reason = tailOfLog(logPath, /#|FATAL|Could not|not found/);
      return err(startFailed(`${reason || 'it ended at once'} (see ${logPath})`));
    }
    await new Promise((wake) => setTimeout(wake, readyPollMs));
  }
  return err(startFailed(`it is not ready after ${readyTimeoutMs / 1000} s: ${lastError} (see ${logPath})`));
}

function portTaken(port: number): EmbeddedServerProblem {
  return problem(
    'embedded.port-taken',
    `Port ${port} on ${loopback} is taken, so Redis cannot start there: free it or choose another.`,
    { port },
  );
}

function startFailed(reason: string): EmbeddedServerProblem {
  return problem('embedded.start-failed', `Redis did not start: ${reason}.`);
}
