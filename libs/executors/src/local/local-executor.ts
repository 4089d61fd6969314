import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import {
  type CannotStart,
  type Executor,
  gangSize,
  outputFiles,
  type ProgramRef,
  type ProgramSignal,
  type ProgramSpec,
  type ProgramStatus,
} from '../executor.js';
import { programEnvironment } from '../program-environment.js';
import { gangLauncher } from './gang-launcher.js';
import { groupIsAlive, identifyProcess, isAlive, type ProcessIdentity } from './process-identity.js';
import { ProgramGuard } from './program-guard.js';

export interface LocalExecutorOptions {
  /** The runner: `['/path/to/python', '-m', 'beamtime_runner']`. Kind, --job and --workdir follow. */
  readonly command: readonly string[];
  /** Where it remembers its programs. */
  readonly stateDir: string;
  /** Names of variables that programs inherit from the agent, beside PATH and the locale. */
  readonly passEnv?: readonly string[];
  /** Names for CUDA_VISIBLE_DEVICES by index; absent on machines without GPUs. */
  readonly devices?: readonly string[];
}

const signals = { checkpoint: 'SIGUSR1', stop: 'SIGTERM' } as const;
const killPollMs = 20;
/** The kernel needs no longer to end killed processes, unless one hangs in a broken device. */
const killPatienceMs = 10_000;

interface Kept {
  readonly jobId: string;
  readonly attempt: number;
  readonly process: ProcessIdentity;
}

/** Programs as processes of this machine, each in a group of its own that ends with the agent, however it ends. */
export class LocalExecutor implements Executor {
  readonly kind = 'local';
  readonly listenHost = '127.0.0.1';
  private readonly folder: string;
  private readonly ended = new Map<string, ProgramStatus>();
  private readonly guard = new ProgramGuard();
  /** Programs of this process whose end it has not heard of yet. */
  private readonly children = new Set<string>();

  constructor(private readonly options: LocalExecutorOptions) {
    this.folder = join(options.stateDir, 'programs');
    mkdirSync(this.folder, { recursive: true });
  }

  async start(spec: ProgramSpec): Promise<Result<ProgramRef, CannotStart>> {
    const [command, ...args] = spec.program ?? this.options.command;
    if (command === undefined)
      return err(problem('executor.cannot-start', 'No runner command is configured'));
    const words = [command, ...args, spec.kind, '--job', spec.jobFile, '--workdir', spec.workdir];
    const size = gangSize(spec);
    const [program = command, ...rest] =
      size === 1 ? words : [process.execPath, '-e', gangLauncher, '--', String(size), ...words];
    const child = this.spawn(program, rest, spec);
    const failed = await started(child);
    const identity =
      child.pid === undefined ? undefined : (identifyProcess(child.pid) ?? endedAlready(child.pid));
    if (failed !== undefined || identity === undefined) {
      return err(
        problem('executor.cannot-start', `${command} cannot be started: ${failed?.message ?? 'no process'}`),
      );
    }
    const ref = { jobId: spec.jobId, attempt: spec.attempt, handle: JSON.stringify(identity) };
    this.keep({ jobId: spec.jobId, attempt: spec.attempt, process: identity });
    this.guard.watch(ref.handle, identity);
    this.children.add(ref.handle);
    child.once('exit', (exitCode, signal) => this.end(ref, exitCode, signal));
    // It may have ended while we looked at it.
    if (child.exitCode !== null || child.signalCode !== null) this.end(ref, child.exitCode, child.signalCode);
    return ok(ref);
  }

  private spawn(command: string, args: readonly string[], spec: ProgramSpec): ChildProcess {
    const stdout = openSync(join(spec.workdir, outputFiles.stdout), 'a', 0o600);
    const stderr = openSync(join(spec.workdir, outputFiles.stderr), 'a', 0o600);
    try {
      return spawn(command, [...args], {
        cwd: spec.workdir,
        detached: true,
        stdio: ['ignore', stdout, stderr],
        env: this.environment(spec),
      });
    } finally {
      closeSync(stdout);
      closeSync(stderr);
    }
  }

  private environment(spec: ProgramSpec): NodeJS.ProcessEnv {
    const { devices, passEnv = [] } = this.options;
    return {
      ...programEnvironment(spec, passEnv),
      ...(devices === undefined
        ? {}
        : { CUDA_VISIBLE_DEVICES: spec.gpuIndices.map((index) => devices[index] ?? '').join(',') }),
      ...shareEnvironment(spec.gpuShareMilli),
      ...spec.env,
    };
  }

  async poll(program: ProgramRef): Promise<ProgramStatus> {
    const ended = this.ended.get(program.handle);
    if (ended !== undefined) return Promise.resolve(ended);
    // A child of ours that is dead has an exit code, which we hear of in a moment.
    if (this.children.has(program.handle)) return Promise.resolve({ state: 'running' });
    return Promise.resolve(isAlive(processOf(program)) ? { state: 'running' } : { state: 'vanished' });
  }

  signal(program: ProgramRef, signal: ProgramSignal): Promise<void> {
    const { pid } = processOf(program);
    if (!this.ended.has(program.handle) && isAlive(processOf(program))) {
      try {
        process.kill(pid, signals[signal]);
      } catch {
        // It ended between the look and the signal.
      }
    }
    return Promise.resolve();
  }

  async kill(program: ProgramRef): Promise<void> {
    const known = processOf(program);
    for (const deadlineMs = Date.now() + killPatienceMs; Date.now() < deadlineMs; ) {
      const present = identifyProcess(known.pid);
      // Somebody else has the pid by now: nothing of ours is left.
      if (present !== undefined && present.startedAt !== known.startedAt) return;
      if (present === undefined && !groupIsAlive(known.pid)) return;
      try {
        process.kill(-known.pid, 'SIGKILL');
      } catch {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, killPollMs));
    }
  }

  addressOf(_program: ProgramRef): Promise<string> {
    return Promise.resolve(this.listenHost);
  }

  unavailable(): string | null {
    return null;
  }

  keepFor(program: ProgramRef, forMs: number): Promise<void> {
    this.guard.keepFor(program.handle, forMs);
    return Promise.resolve();
  }

  leftovers(): Promise<ProgramRef[]> {
    const found: ProgramRef[] = [];
    for (const name of readdirSync(this.folder)) {
      const kept = readKept(join(this.folder, name));
      if (kept === undefined) continue;
      found.push({ jobId: kept.jobId, attempt: kept.attempt, handle: JSON.stringify(kept.process) });
    }
    return Promise.resolve(found);
  }

  forget(program: ProgramRef): Promise<void> {
    rmSync(this.fileOf(program), { force: true });
    this.guard.dismiss(program.handle);
    this.ended.delete(program.handle);
    return Promise.resolve();
  }

  private end(program: ProgramRef, exitCode: number | null, signal: string | null): void {
    if (this.ended.has(program.handle)) return;
    this.children.delete(program.handle);
    this.ended.set(program.handle, { state: 'ended', exitCode, signal });
    // What it started and left behind goes too.
    void this.kill(program).then(() => this.guard.dismiss(program.handle));
  }

  private fileOf(program: { readonly jobId: string; readonly attempt: number }): string {
    return join(this.folder, `${program.jobId}.${program.attempt}.json`);
  }

  private keep(kept: Kept): void {
    const file = this.fileOf(kept);
    writeFileSync(`${file}.new`, JSON.stringify(kept));
    renameSync(`${file}.new`, file);
  }
}

/**
 * What a program that shares its GPU is asked to keep to: a bound on the GPU's memory, which our runner heeds, and on its
 * processors, which CUDA itself heeds where its process service (MPS) runs. Programs are trusted to keep to it.
 */
function shareEnvironment(gpuShareMilli = 1_000): Record<string, string> {
  if (gpuShareMilli >= 1_000) return {};
  return {
    BEAMTIME_GPU_MEMORY_FRACTION: String(gpuShareMilli / 1_000),
    CUDA_MPS_ACTIVE_THREAD_PERCENTAGE: String(gpuShareMilli / 10),
  };
}

/** Too quick to be looked at: named so that nothing is ever mistaken for it. */
function endedAlready(pid: number): ProcessIdentity {
  return { pid, startedAt: 'ended' };
}

function started(child: ChildProcess): Promise<Error | undefined> {
  return new Promise((resolve) => {
    child.once('spawn', () => resolve(undefined));
    child.once('error', (error) => resolve(error));
  });
}

function processOf(program: ProgramRef): ProcessIdentity {
  return JSON.parse(program.handle) as ProcessIdentity;
}

function readKept(file: string): Kept | undefined {
  if (!file.endsWith('.json') || !existsSync(file)) return undefined;
  try {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Partial<Kept>;
    if (typeof kept.jobId !== 'string' || typeof kept.attempt !== 'number') return undefined;
    const { process } = kept;
    if (process === undefined || !Number.isInteger(process.pid) || process.pid <= 1) return undefined;
    return { jobId: kept.jobId, attempt: kept.attempt, process };
  } catch {
    return undefined;
  }
}
