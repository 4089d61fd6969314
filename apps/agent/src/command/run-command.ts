import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  createWriteStream,
  openSync,
  rmSync,
  type WriteStream,
  writeFileSync,
} from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import { dirname } from 'node:path';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import type { Invocation } from './engines.js';

export interface CommandOutcome {
  readonly exitCode: number;
  readonly stdoutTail: string;
  readonly stderrTail: string;
}

export interface CommandStreams {
  /** Files on this machine; null for none. */
  readonly stdin: string | null;
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly tailChars: number;
  onText(stream: 'stdout' | 'stderr', text: string): void;
}

/** As a shell tells it when a program cannot be started: not found, or not to be run. */
const notFound = 127;
const notExecutable = 126;
/** A program that was asked to end has so long. */
const graceMs = 8_000;

/** One command: starts it, passes on what it prints, and knows how to end it. */
export class RunningCommand {
  private child: ChildProcess | undefined;
  private guard: ChildProcess | undefined;
  private killer: NodeJS.Timeout | undefined;
  private asked = false;

  constructor(
    private readonly invocation: Invocation,
    private readonly envFile: string,
    /** The folder below which the files of its streams must lie, links followed. */
    private readonly root: string,
  ) {}

  async run(streams: CommandStreams): Promise<CommandOutcome> {
    const { invocation } = this;
    if (invocation.envLines !== null) writeFileSync(this.envFile, invocation.envLines, { mode: 0o600 });
    const files = { stdout: await this.sink(streams.stdout), stderr: await this.sink(streams.stderr) };
    const stdin = streams.stdin === null ? 'ignore' : await this.source(streams.stdin);
    try {
      if (invocation.remove !== null) this.guard = endWithUs(invocation.remove);
      const child = spawn(invocation.program, [...invocation.args], {
        cwd: invocation.cwd,
        env: { ...inherited(), ...invocation.env },
        stdio: [stdin, 'pipe', 'pipe'],
        detached: true,
      });
      this.child = child;
      if (this.asked) this.stop();
      const tails = { stdout: '', stderr: '' };
      const read = (name: 'stdout' | 'stderr'): Promise<void> =>
        passOn(child, name, files[name], (text) => {
          tails[name] = `${tails[name]}${text}`.slice(-streams.tailChars);
          streams.onText(name, text);
        });
      const exitCode = await exitOf(child, Promise.all([read('stdout'), read('stderr')]));
      return { exitCode, stdoutTail: tails.stdout.toWellFormed(), stderrTail: tails.stderr.toWellFormed() };
    } finally {
      clearTimeout(this.killer);
      if (typeof stdin === 'number') closeSync(stdin);
      this.killGroup('SIGKILL');
      // Its end makes the guard remove the container, if there still is one.
      this.guard?.stdin?.end();
      rmSync(this.envFile, { force: true });
    }
  }

  /** Asks it to end, and ends it if it does not. */
  stop(): void {
    this.asked = true;
    if (this.child === undefined) return;
    this.killGroup('SIGTERM');
    this.killer ??= setTimeout(() => {
      this.guard?.stdin?.end();
      this.killGroup('SIGKILL');
    }, graceMs);
  }

  private killGroup(signal: NodeJS.Signals): void {
    const pid = this.child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // Nobody of it is left.
    }
  }

  private async sink(path: string | null): Promise<WriteStream | undefined> {
    if (path === null) return undefined;
    await mkdir(dirname(path), { recursive: true });
    await this.requireInside(dirname(path));
    const fd = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
    );
    return createWriteStream('', { fd });
  }

  private async source(path: string): Promise<number> {
    await this.requireInside(dirname(path));
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  }

  /** An earlier command may have put a link there that leads to files of this machine. */
  private async requireInside(folder: string): Promise<void> {
    const [real, root] = await Promise.all([realpath(folder), realpath(this.root)]);
    if (real !== root && !real.startsWith(`${root}/`))
      throw new Error(`${folder} leads out of the task's files`);
  }
}

/** What an engine's program needs of this process; the command itself gets none of it, except without an engine. */
function inherited(): NodeJS.ProcessEnv {
  const names = [
    'PATH',
    'HOME',
    'LANG',
    'XDG_RUNTIME_DIR',
    'DOCKER_HOST',
    'CONTAINER_HOST',
    'APPTAINER_CACHEDIR',
  ];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  ) as NodeJS.ProcessEnv;
}

/** A shell that waits for the end of its input, which comes when this process is gone, even by SIGKILL. */
function endWithUs(remove: readonly string[]): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', 'read -r _; exec "$@" >/dev/null 2>&1', 'end-container', ...remove], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => undefined);
  guard.stdin?.on('error', () => undefined);
  guard.unref();
  return guard;
}

async function passOn(
  child: ChildProcess,
  name: 'stdout' | 'stderr',
  file: WriteStream | undefined,
  onText: (text: string) => void,
): Promise<void> {
  const decoder = new StringDecoder('utf8');
  const source = child[name];
  if (source === null) return;
  for await (const bytes of source as AsyncIterable<Buffer>) {
    onText(decoder.write(bytes));
    if (file !== undefined && !file.write(bytes))
      await new Promise<void>((resolve, reject) => {
        file.once('drain', resolve);
        file.once('error', reject);
      });
  }
  const rest = decoder.end();
  if (rest !== '') onText(rest);
  if (file !== undefined) {
    file.end();
    await finished(file);
  }
}

async function exitOf(child: ChildProcess, read: Promise<unknown>): Promise<number> {
  const ended = new Promise<number>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ENOENT' ? notFound : notExecutable),
    );
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (osConstants.signals[signal ?? 'SIGKILL'] ?? 9)),
    );
  });
  const code = await ended;
  // What it left behind may hold its streams open; the group is ended, then they close.
  const pid = child.pid;
  if (pid !== undefined) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Nobody is left.
    }
  }
  await read;
  return code;
}
