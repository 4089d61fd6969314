import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { Socket } from 'node:net';
import { identifyProcess, type ProcessIdentity, type StopPlan, stopProcess } from './process-identity.js';
import { plainEnvironment } from './run-to-end.js';

/** A log larger than this at a start is begun anew: it is for diagnosis, not for keeping. */
const logBytesMax = 10 * 1024 * 1024;

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly logPath: string;
  /** Text for its standard input: for settings that must not be seen in the list of processes. */
  readonly stdin?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** What stops it when this process dies without stopping it. */
  readonly stopSignal: 'INT' | 'TERM';
}

/** A server that runs beside this process and ends with it, however this process ends. */
export interface ServerProcess {
  readonly identity: ProcessIdentity;
  /** Settles when the server has ended, whoever ended it. */
  readonly ended: Promise<void>;
  hasEnded(): boolean;
  stop(plan: StopPlan): Promise<void>;
}

/**
 * Starts a server in a process group of its own, so that a Ctrl-C in the terminal reaches this process only and
 * the server goes last. Its output goes to a file, not to a pipe that would break when this process dies.
 */
export async function startServerProcess(server: ServerCommand): Promise<ServerProcess | undefined> {
  const child = spawn(server.command, [...server.args], spawnOptions(server));
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  let over = false;
  void ended.then(() => {
    over = true;
  });
  if (server.stdin !== undefined) {
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(server.stdin);
  }
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (identity === undefined) {
    await ended;
    return undefined;
  }
  const watcher = stopWithParent(identity.pid, server.stopSignal);
  void ended.then(() => dismiss(watcher));
  child.unref();
  return {
    identity,
    ended,
    hasEnded: () => over,
    stop: async (plan) => {
      if (over) return;
      if (!(await stopProcess(identity, plan)))
        throw new Error(`process ${identity.pid} (${server.command}) does not stop`);
      await ended;
    },
  };
}

function spawnOptions(server: ServerCommand): SpawnOptions {
  if (existsSync(server.logPath) && statSync(server.logPath).size > logBytesMax)
    truncateSync(server.logPath, 0);
  const log = openSync(server.logPath, 'a', 0o600);
  // Closed in this process on the next turn, when the child has its own copy.
  setImmediate(() => closeSync(log));
  return {
    cwd: '/',
    detached: true,
    stdio: [server.stdin === undefined ? 'ignore' : 'pipe', log, log],
    env: plainEnvironment(),
    ...(server.uid !== undefined && { uid: server.uid }),
    ...(server.gid !== undefined && { gid: server.gid }),
  };
}

/**
 * A shell that does nothing but wait for the end of its input, which comes when this process is gone, even by
 * SIGKILL, and then stops the server. Linux's parent-death signal would do, macOS has none.
 */
function stopWithParent(pid: number, signal: 'INT' | 'TERM'): ChildProcess {
  const watcher = spawn(
    '/bin/sh',
    ['-c', 'read -r _ || kill -s "$2" "$1"', 'stop-with-parent', String(pid), signal],
    {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  watcher.stdin?.on('error', () => undefined);
  // Neither the shell nor the pipe to it keeps this process from ending by itself.
  watcher.unref();
  if (watcher.stdin instanceof Socket) watcher.stdin.unref();
  return watcher;
}

function dismiss(watcher: ChildProcess): void {
  watcher.stdin?.end('the server has ended\n');
}

/** The last lines of a server's log, for an error message. */
export function tailOfLog(logPath: string, match: RegExp, lines = 3): string {
  if (!existsSync(logPath)) return '';
  const found = readFileSync(logPath, 'utf8')
    .split('\n')
    .filter((line) => match.test(line));
  return found.slice(-lines).join(' | ').slice(0, 500);
}
