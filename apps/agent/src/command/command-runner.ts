import { readdirSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type CommandEvent,
  type CommandJob,
  type CommandResult,
  commandExitCodes,
  commandLimits,
  commandRoot,
} from '@beamtime/contracts';
import { collectOutputs, OutputFault } from './collect-outputs.js';
import { invocationOf, type Run } from './engines.js';
import { admitsImage } from './match-image.js';
import { hostPath, type Mount, planMounts } from './plan-mounts.js';
import { RunningCommand } from './run-command.js';
import type { RunnerSettings } from './settings.js';

/** More than the log of an attempt keeps. */
const toldCharsMax = 8_388_608;

/** Runs the commands of one job in turn, then finds its outputs. */
export class CommandRunner {
  private readonly root: string;
  private readonly mounts: readonly Mount[];
  private running: RunningCommand | undefined;
  private stoppedBy: string | undefined;
  private toldChars = 0;

  constructor(
    private readonly job: CommandJob,
    private readonly settings: RunnerSettings,
    private readonly workdir: string,
    private readonly say: (event: CommandEvent) => void,
  ) {
    this.root = join(workdir, commandRoot);
    this.mounts = planMounts(job);
  }

  stop(signal: string): void {
    this.stoppedBy ??= signal;
    this.running?.stop();
  }

  /** Answers the exit code of the runner. */
  async run(): Promise<number> {
    const { job, settings } = this;
    const refused = job.executors.find(({ image }) => !admitsImage(settings.containers.images, image));
    if (refused !== undefined) {
      this.fail(`this cluster does not run the image ${refused.image}`);
      return commandExitCodes.badInput;
    }
    await this.layOut();
    for (const [index, executor] of job.executors.entries()) {
      if (this.stoppedBy !== undefined) return commandExitCodes.interrupted;
      const exitCode = await this.runOne(index);
      if (this.stoppedBy !== undefined) return commandExitCodes.interrupted;
      if (exitCode === 0 || executor.ignoreError) continue;
      this.fail(
        `executor ${index + 1} of ${job.executors.length} ended with exit code ${exitCode}`,
        exitCode,
      );
      return commandExitCodes.commandFailed;
    }
    return this.collect();
  }

  private fail(detail: string, exitCode: number | null = null): void {
    this.say({ event: 'failed', detail, exitCode });
  }

  /** Folders for what is shared, and the inputs that came with the job; the agent has fetched the others. */
  private async layOut(): Promise<void> {
    await mkdir(this.root, { recursive: true });
    for (const mount of this.mounts) {
      await mkdir(mount.isFolder ? `${this.root}${mount.path}` : dirname(`${this.root}${mount.path}`), {
        recursive: true,
      });
    }
    for (const { path, content } of this.job.contents) {
      await mkdir(dirname(`${this.root}${path}`), { recursive: true });
      await writeFile(`${this.root}${path}`, content);
    }
    if (this.settings.containers.engine !== 'none') return;
    for (const { workdir } of this.job.executors)
      if (workdir !== null) await mkdir(`${this.root}${workdir}`, { recursive: true });
  }

  private async runOne(index: number): Promise<number> {
    const executor = this.job.executors[index];
    if (executor === undefined) return 0;
    const home = dirname(this.workdir);
    const envFile = join(home, `variables.${index}`);
    const run: Run = {
      executor,
      name: `beamtime-${this.job.jobId.replace('_', '-')}-${this.job.attempt}-${index}`,
      root: this.root,
      mounts: this.mounts,
      cpus: this.job.cpus,
      memoryMiB: this.job.memoryMiB,
      devices: (process.env['CUDA_VISIBLE_DEVICES'] ?? '').split(',').filter((device) => device !== ''),
      hasStdin: executor.stdin !== null,
      envFile,
      hostFolders: readdirSync('/'),
      hidden: this.settings.hidden.flatMap((path) => {
        const found = statSync(path, { throwIfNoEntry: false });
        return found === undefined ? [] : [{ path, isFolder: found.isDirectory() }];
      }),
      user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    };
    const running = new RunningCommand(invocationOf(this.settings.containers, run), envFile, this.root);
    this.running = running;
    const startedAt = new Date().toISOString();
    const begun = { index, startedAt, endedAt: null, exitCode: null, stdoutTail: '', stderrTail: '' };
    this.say({ event: 'started', result: begun });
    const outcome = await running.run({
      stdin: this.shared(executor.stdin, 'stdin'),
      stdout: this.shared(executor.stdout, 'stdout'),
      stderr: this.shared(executor.stderr, 'stderr'),
      // All tails of a job together stay within one report.
      tailChars: Math.min(
        commandLimits.tailChars,
        Math.floor(commandLimits.tailCharsTotal / this.job.executors.length),
      ),
      onText: (stream, text) => this.tell(stream, text),
    });
    const result: CommandResult = { index, startedAt, endedAt: new Date().toISOString(), ...outcome };
    this.say({ event: 'ended', result });
    return outcome.exitCode;
  }

  /** What a command prints goes into the job's log, which is bounded; its own file holds all of it. */
  private tell(stream: 'stdout' | 'stderr', text: string): void {
    if (this.toldChars > toldCharsMax) return;
    this.toldChars += text.length;
    this.say({ event: 'text', stream, text });
    if (this.toldChars > toldCharsMax)
      this.say({
        event: 'notice',
        text: `only the first ${toldCharsMax} characters of output are in the log`,
      });
  }

  private shared(path: string | null, what: string): string | null {
    if (path === null) return null;
    const host = hostPath(this.root, this.mounts, path);
    if (host === undefined)
      throw new Error(`${what} ${path} is no input and in no folder that the task shares`);
    return host;
  }

  private async collect(): Promise<number> {
    try {
      const place = { workdir: this.workdir, root: this.root, mounts: this.mounts };
      for await (const event of collectOutputs(this.job.outputs, place)) this.say(event);
      return commandExitCodes.done;
    } catch (error) {
      if (!(error instanceof OutputFault)) throw error;
      await rm(join(this.workdir, 'collected'), { recursive: true, force: true });
      this.fail(`an output is missing: ${error.message}`);
      return commandExitCodes.badInput;
    }
  }
}
