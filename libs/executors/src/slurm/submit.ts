import { randomInt } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import type { CannotStart, ProgramRef, ProgramSpec } from '../executor.js';
import { programEnvironment } from '../program-environment.js';
import { batchScript, programFile, rankScript } from './batch-script.js';
import type { CommandAnswer, SlurmCommands } from './commands.js';
import { type JobShape, shapeOf } from './job-shape.js';
import type { ProgramFolders } from './program-folders.js';
import { type QueueWatch, taskKey } from './queue-watch.js';
import type { Site } from './site.js';
import type { ResolvedOptions } from './slurm-options.js';

export type StartAnswer = Result<ProgramRef, CannotStart>;

interface Wish {
  readonly spec: ProgramSpec;
  readonly answer: (answer: StartAnswer) => void;
}

interface Group {
  readonly wishes: Wish[];
  readonly shape: JobShape;
  readonly minutes: number;
  readonly timeWasCut: boolean;
}

/** Slurm's warning before it ends a job at its time limit. */
const warningSeconds = 90;
const retryBaseMs = 500;
const retryMaxMs = 10_000;
const masterPorts = [20_000, 60_000] as const;

/**
 * Submits programs. Those that start within a moment and ask for the same go as one array: one request to slurmctld
 * for the cells of a suite, which a site's limit on submissions counts once. Each task stays an attempt of its own.
 *
 * A submission is known by its name. When sbatch does not say how it ended, the queue is asked for that name before
 * anything is submitted again; should both arrive in the end, the script lets only one of them run.
 */
export class Submitter {
  private readonly groups = new Map<string, Group>();

  constructor(
    private readonly commands: SlurmCommands,
    private readonly folders: ProgramFolders,
    private readonly queue: QueueWatch,
    private readonly options: ResolvedOptions,
    private readonly hooks: {
      /** Slurm took a submission, or refused or did not answer, with its words. */
      readonly onOutcome: (failure: string | null) => void;
      /** A name that may turn up in the queue although we gave it up. */
      readonly onAbandoned: (name: string) => void;
    },
  ) {}

  submit(spec: ProgramSpec, site: Site): Promise<StartAnswer> {
    const shape = shapeOf(spec, site);
    if (!shape.ok) return Promise.resolve(cannotStart(shape.error));
    const wanted = spec.maxSeconds + this.options.timeMarginSeconds;
    const timeWasCut = site.maxSeconds !== null && site.maxSeconds < wanted;
    const minutes = timeWasCut ? Math.floor((site.maxSeconds ?? 0) / 60) : Math.ceil(wanted / 60);
    const key = JSON.stringify([shape.value.sbatch, shape.value.processes, minutes, timeWasCut]);
    return new Promise((answer) => {
      const known = this.groups.get(key);
      if (known !== undefined && known.wishes.length < this.options.arrayTasksMax) {
        known.wishes.push({ spec, answer });
        return;
      }
      const group = { wishes: [{ spec, answer }], shape: shape.value, minutes, timeWasCut };
      this.groups.set(key, group);
      setTimeout(() => {
        if (this.groups.get(key) === group) this.groups.delete(key);
        void this.flush(group);
      }, this.options.gatherMs);
    });
  }

  private async flush(group: Group): Promise<void> {
    try {
      const failure = await this.submitGroup(group);
      this.hooks.onOutcome(failure);
    } catch (error) {
      for (const { spec, answer } of group.wishes) {
        this.folders.remove(spec);
        answer(cannotStart(`it cannot be prepared for Slurm: ${(error as Error).message}`));
      }
    }
  }

  /** Null when Slurm has it. */
  private async submitGroup(group: Group): Promise<string | null> {
    const name = this.folders.newName();
    const script = this.write(group, name);
    let failure = '';
    let wasUnclear = false;
    try {
      for (let tries = 1; tries <= this.options.submitTries; tries++) {
        const sentAtMs = performance.now();
        const answer = await this.commands.run('sbatch', this.sbatchArgs(group, name, script));
        if (answer.kind === 'done' || (wasUnclear && (await this.arrived(name)) === true)) {
          this.answerAll(group, name);
          return null;
        }
        failure = answer.detail;
        if (answer.kind === 'refused' && !isPassing(answer)) break;
        if (answer.kind === 'unclear') {
          wasUnclear = true;
          if (await this.arrivesLate(name, sentAtMs)) {
            this.answerAll(group, name);
            return null;
          }
        }
        if (tries < this.options.submitTries) await pause(Math.min(retryMaxMs, retryBaseMs * 2 ** tries));
      }
    } finally {
      rmSync(script, { force: true });
    }
    if (wasUnclear) this.hooks.onAbandoned(name);
    if (group.wishes.length > 1 && /array/i.test(failure)) return this.submitSingly(group);
    for (const { spec, answer } of group.wishes) {
      this.folders.remove(spec);
      answer(cannotStart(`Slurm does not take it: ${failure}`));
    }
    // A job that asks for too much says nothing of the next one.
    return /node configuration is not available|not available/i.test(failure) ? null : failure;
  }

  /** A site without arrays, or with a lower bound than ours. */
  private async submitSingly(group: Group): Promise<string | null> {
    let last: string | null = null;
    for (const wish of group.wishes) last = await this.submitGroup({ ...group, wishes: [wish] });
    return last;
  }

  private write(group: Group, name: string): string {
    const { command, passEnv, setup, orphanSeconds, watchSeconds } = this.options;
    group.wishes.forEach(({ spec }, index) => {
      const folder = this.folders.of(spec);
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const file = programFile({
        workdir: spec.workdir,
        command: [...(spec.program ?? command), spec.kind, '--job', spec.jobFile, '--workdir', spec.workdir],
        env: programEnvironment(spec, passEnv),
        processes: group.shape.processes,
        masterPort: randomInt(...masterPorts),
      });
      writeFileSync(join(folder, 'program.sh'), file, { mode: 0o600 });
      if (group.shape.processes > 1) writeFileSync(join(folder, 'rank.sh'), rankScript, { mode: 0o700 });
      const { jobId, attempt } = spec;
      this.folders.keep({
        jobId,
        attempt,
        name,
        index,
        submittedAtMs: Date.now(),
        timeWasCut: group.timeWasCut,
      });
    });
    const script = join(this.folders.submissions, `${name}.sh`);
    const text = batchScript({
      root: this.folders.root,
      folders: group.wishes.map(({ spec }) => this.folders.of(spec)),
      setup,
      orphanSeconds,
      watchSeconds,
    });
    writeFileSync(script, text, { mode: 0o700 });
    return script;
  }

  private sbatchArgs(group: Group, name: string, script: string): string[] {
    const { partition, account, qos, options } = this.options;
    const count = group.wishes.length;
    const [first] = group.wishes;
    const about = count === 1 ? `${first?.spec.jobId} attempt ${first?.spec.attempt}` : `${count} attempts`;
    const output = join(this.folders.submissions, `${name}.${count === 1 ? '0' : '%a'}.out`);
    return [
      '--parsable',
      `--job-name=${name}`,
      `--comment=Beamtime ${about}`,
      `--output=${output}`,
      '--open-mode=append',
      // What commands run with, which is little; anything else would begin a login shell of the user.
      '--export=ALL',
      `--chdir=${this.folders.root}`,
      `--time=${group.minutes}`,
      `--signal=B:USR1@${warningSeconds}`,
      '--requeue',
      ...(partition === undefined ? [] : [`--partition=${partition}`]),
      ...(account === undefined ? [] : [`--account=${account}`]),
      ...(qos === undefined ? [] : [`--qos=${qos}`]),
      ...group.shape.sbatch,
      ...options,
      ...(count === 1 ? [] : [`--array=0-${count - 1}`]),
      script,
    ];
  }

  /** After an unclear end: looks for the name, a while, since sbatch's request may still be on its way. */
  private async arrivesLate(name: string, sentAtMs: number): Promise<boolean> {
    const untilMs = sentAtMs + this.options.commandTimeoutMs + this.options.settleMs;
    for (;;) {
      const there = await this.arrived(name);
      if (there === true) return true;
      if (performance.now() >= untilMs) return false;
      await pause(Math.min(retryBaseMs, this.options.settleMs));
    }
  }

  /** Undefined while Slurm cannot be asked. */
  private async arrived(name: string): Promise<boolean | undefined> {
    const view = await this.queue.fresh();
    return view?.entries.has(taskKey(name, 0));
  }

  private answerAll(group: Group, name: string): void {
    group.wishes.forEach(({ spec, answer }, index) => {
      const { jobId, attempt } = spec;
      answer(ok({ jobId, attempt, handle: JSON.stringify({ name, index }) }));
    });
  }
}

/** Refusals that pass by themselves: limits on how much may be queued, a controller that is busy. */
function isPassing(answer: CommandAnswer): boolean {
  return (
    answer.kind === 'refused' &&
    /temporarily unable|try again|Resource temporarily unavailable|Requested partition.*down|QOSMaxSubmit|AssocMaxSubmit|submit.*limit/i.test(
      answer.detail,
    )
  );
}

function cannotStart(detail: string): StartAnswer {
  return err(problem('executor.cannot-start', detail));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
