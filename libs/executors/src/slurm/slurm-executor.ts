import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import type {
  CannotStart,
  Executor,
  ProgramRef,
  ProgramSignal,
  ProgramSpec,
  ProgramStatus,
  SiteCapacity,
} from '../executor.js';
import { SlurmCommands } from './commands.js';
import { endFromSlurm, explainEnd, readEnd, stateFromWords } from './end-of-job.js';
import { ProgramFolders, type Submission } from './program-folders.js';
import { phaseOf, type QueueEntry } from './queue.js';
import { type QueueView, QueueWatch, taskKey } from './queue-watch.js';
import { readSite, type Site, SiteUnknown } from './site.js';
import { type ResolvedOptions, resolveOptions, type SlurmOptions } from './slurm-options.js';
import { Submitter } from './submit.js';

const signals = { checkpoint: 'USR1', stop: 'TERM' } as const;
const killPatienceMs = 30_000;
const killPollMs = 250;
const scancelEveryMs = 2_000;
/** A script that has written its end leaves its node within this time, or is helped. */
const leaveMs = 5_000;
const siteAgeMaxMs = 30_000;
const holdOffBaseMs = 15_000;
const holdOffMaxMs = 600_000;
/** An abandoned submission that has not turned up after so long will not. */
const abandonedForMs = 600_000;
const abandonedLookMs = 5_000;

/** What a program's being gone was first seen by: one look is no proof. */
interface Gone {
  readonly sinceMs: number;
  readonly viewAtMs: number;
}

/**
 * Programs as Slurm jobs, by Slurm's commands alone: any version since 20.02, with or without accounting. How a
 * program ended is what its script wrote; Slurm is asked only where that is missing (docs/adr/0031, 0032).
 */
export class SlurmExecutor implements Executor {
  readonly kind = 'slurm';
  readonly listenHost = '0.0.0.0';
  private readonly options: ResolvedOptions;
  private readonly commands: SlurmCommands;
  private readonly folders: ProgramFolders;
  private readonly queue: QueueWatch;
  private readonly submitter: Submitter;
  private readonly ended = new Map<string, ProgramStatus>();
  private readonly gone = new Map<string, Gone>();
  /** When a program was first seen to have begun: what the queue said before that says nothing about it. */
  private readonly beganSeenMs = new Map<string, number>();
  private readonly abandoned = new Map<string, number>();
  private readonly cancelling = new Set<string>();
  private site: { readonly value: Site; readonly atMs: number } | undefined;
  private holdOff = { untilMs: 0, failures: 0, why: '' };

  constructor(options: SlurmOptions) {
    this.options = resolveOptions(options);
    const { conf, bin, commandTimeoutMs, pollMs } = this.options;
    this.commands = new SlurmCommands({ conf, bin, timeoutMs: commandTimeoutMs });
    this.folders = new ProgramFolders(join(options.stateDir, 'slurm'));
    this.queue = new QueueWatch(this.commands, this.folders.prefix, pollMs, (view) => this.sweep(view));
    this.submitter = new Submitter(this.commands, this.folders, this.queue, this.options, {
      onOutcome: (failure) => this.noteOutcome(failure),
      onAbandoned: (name) => this.abandon(name),
    });
  }

  async start(spec: ProgramSpec): Promise<Result<ProgramRef, CannotStart>> {
    if ((spec.gpuShareMilli ?? 1_000) < 1_000)
      return err(problem('executor.cannot-start', 'Slurm gives out whole GPUs, not parts of them'));
    this.folders.beat();
    const known = this.folders.read(spec);
    if (known !== undefined && (await this.isThere(known))) return ok(refOf(known));
    let site: Site;
    try {
      site = await this.siteNow();
    } catch (error) {
      if (!(error instanceof SiteUnknown)) throw error;
      this.noteOutcome(error.message);
      return err(problem('executor.cannot-start', error.message));
    }
    return this.submitter.submit(spec, site);
  }

  async poll(program: ProgramRef): Promise<ProgramStatus> {
    this.folders.beat();
    const key = keyOf(program);
    const known = this.ended.get(key) ?? this.readOwnEnd(program);
    if (known !== undefined) return known;
    const submission = this.folders.read(program);
    if (submission === undefined) return { state: 'vanished', reason: 'its folder is gone' };
    const { view, failure } = await this.queue.latest();
    if (failure !== undefined || view === undefined)
      return { state: 'unknown', reason: `Slurm does not answer: ${failure ?? 'not yet'}` };
    const entry = choose(view.entries.get(taskKey(submission.name, submission.index)), this.jobOf(program));
    const began = this.folders.has(program, 'began/job');
    if (entry === undefined) return this.judgeGone(program, submission, undefined, view);
    const phase = phaseOf(entry.state);
    if (phase === 'over') return this.judgeGone(program, submission, entry, view);
    this.gone.delete(key);
    if (phase === 'live') return began ? { state: 'running' } : { state: 'pending', reason: entry.state };
    if (!began) return this.waiting(program, submission, entry);
    const seenMs = this.beganSeenMs.get(key) ?? performance.now();
    this.beganSeenMs.set(key, seenMs);
    return view.askedAtMs > seenMs ? this.requeued(program, entry) : { state: 'running' };
  }

  async signal(program: ProgramRef, signal: ProgramSignal): Promise<void> {
    const submission = this.folders.read(program);
    if (submission === undefined || this.folders.has(program, 'end')) return;
    if (!this.folders.has(program, 'began/job')) {
      // Its script looks for this before it starts the program; a signal could come before the script listens.
      this.folders.mark(program, 'asked');
      return;
    }
    for (const entry of await this.entriesOf(submission))
      await this.commands.run('scancel', ['--batch', `--signal=${signals[signal]}`, entry.id]);
  }

  async kill(program: ProgramRef): Promise<void> {
    const submission = this.folders.read(program);
    if (submission === undefined) return;
    const startedAtMs = performance.now();
    const hadEnded = this.folders.has(program, 'end');
    if (!hadEnded) this.folders.mark(program, 'kill');
    let cancelAtMs = 0;
    for (; performance.now() - startedAtMs < killPatienceMs; await pause(killPollMs)) {
      const view = await this.queue.fresh();
      if (view === undefined) continue;
      const entries = view.entries.get(taskKey(submission.name, submission.index)) ?? [];
      const left = entries.filter((entry) => phaseOf(entry.state) !== 'over');
      if (left.length === 0 && (entries.length > 0 || this.isOver(program))) {
        this.noteKilled(program, hadEnded);
        return;
      }
      const leaving = hadEnded && performance.now() - startedAtMs < leaveMs;
      if (performance.now() < cancelAtMs) continue;
      cancelAtMs = performance.now() + scancelEveryMs;
      for (const entry of left)
        if (!leaving || phaseOf(entry.state) === 'waiting') await this.cancel(entry.id);
    }
    // Slurm does not answer, or has forgotten it: its script looks for the mark by itself, and we for its name.
    this.abandon(submission.name);
    this.noteKilled(program, hadEnded);
  }

  addressOf(program: ProgramRef): Promise<string> {
    return Promise.resolve(this.folders.file(program, 'began/host') ?? '127.0.0.1');
  }

  leftovers(): Promise<ProgramRef[]> {
    return Promise.resolve(this.folders.all().map(refOf));
  }

  forget(program: ProgramRef): Promise<void> {
    this.folders.remove(program);
    this.ended.delete(keyOf(program));
    this.gone.delete(keyOf(program));
    this.beganSeenMs.delete(keyOf(program));
    return Promise.resolve();
  }

  unavailable(): string | null {
    if (performance.now() < this.holdOff.untilMs) return this.holdOff.why;
    return this.queue.failing === undefined ? null : `Slurm does not answer: ${this.queue.failing}`;
  }

  async capacity(): Promise<SiteCapacity> {
    const value = await readSite(this.commands, this.options);
    this.site = { value, atMs: performance.now() };
    const { gpus, gpuType, cpus, memoryMiB, nodes, draining } = value.nodesNow;
    return { gpus, gpuType, cpus, memoryMiB, nodes, draining };
  }

  private async siteNow(): Promise<Site> {
    if (this.site === undefined || performance.now() - this.site.atMs > siteAgeMaxMs) await this.capacity();
    if (this.site === undefined) throw new SiteUnknown('Slurm does not answer', true);
    return this.site.value;
  }

  /** Whether a submission of an earlier call is in the queue, or has run. */
  private async isThere(submission: Submission): Promise<boolean> {
    if (this.folders.has(submission, 'began/job')) return true;
    return (await this.entriesOf(submission)).length > 0;
  }

  private async entriesOf(submission: Submission): Promise<readonly QueueEntry[]> {
    const view = await this.queue.fresh();
    const entries = view?.entries.get(taskKey(submission.name, submission.index)) ?? [];
    return entries.filter((entry) => phaseOf(entry.state) !== 'over');
  }

  private readOwnEnd(program: ProgramRef): ProgramStatus | undefined {
    const text = this.folders.file(program, 'end');
    const told = text === undefined ? undefined : readEnd(text);
    const submission = told === undefined ? undefined : this.folders.read(program);
    if (told === undefined || submission === undefined) return told;
    const end = explainEnd(told, readOutput(this.folders.slurmOutput(submission)), submission.timeWasCut);
    this.ended.set(keyOf(program), end);
    return end;
  }

  private jobOf(program: ProgramRef): string | undefined {
    return this.folders.file(program, 'began/job');
  }

  private isOver(program: ProgramRef): boolean {
    return this.folders.has(program, 'end') || !this.folders.has(program, 'began/job');
  }

  /** Its Slurm job is over or forgotten, and its script has said nothing: it may be on its way, so not at once. */
  private async judgeGone(
    program: ProgramRef,
    submission: Submission,
    entry: QueueEntry | undefined,
    view: QueueView,
  ): Promise<ProgramStatus> {
    const key = keyOf(program);
    const asBefore: ProgramStatus = this.folders.has(program, 'began/job')
      ? { state: 'running' }
      : { state: 'pending' };
    const gone = this.gone.get(key) ?? { sinceMs: performance.now(), viewAtMs: view.askedAtMs };
    this.gone.set(key, gone);
    const settled = performance.now() - gone.sinceMs >= this.options.settleMs;
    if (!settled || view.askedAtMs === gone.viewAtMs) return asBefore;
    const end = await this.endBySlurm(submission, entry);
    // It may have arrived while Slurm was asked.
    const own = this.readOwnEnd(program);
    if (own !== undefined) return own;
    this.ended.set(key, end);
    return end;
  }

  private async endBySlurm(submission: Submission, entry: QueueEntry | undefined): Promise<ProgramStatus> {
    const { timeWasCut } = submission;
    if (entry !== undefined) {
      const shown = await this.commands.run('scontrol', ['show', 'job', '--oneliner', entry.id]);
      const exitCode = shown.kind === 'done' ? / ExitCode=(\d+:\d+)/.exec(shown.stdout)?.[1] : undefined;
      return endFromSlurm({ ...entry, exitCode, timeWasCut });
    }
    const job = this.folders.file(submission, 'began/job');
    const books = job === undefined ? undefined : await this.askBooks(submission);
    if (books !== undefined) return endFromSlurm({ ...books, timeWasCut });
    const words = readOutput(this.folders.slurmOutput(submission));
    const state = stateFromWords(words);
    if (state !== undefined) return endFromSlurm({ state, reason: '', exitCode: undefined, timeWasCut });
    return { state: 'vanished', reason: 'Slurm no longer knows its job, and it left no word of its end' };
  }

  /** sacct, where accounting is on; by name, since a controller that lost its state gives numbers again. */
  private async askBooks(
    submission: Submission,
  ): Promise<{ state: string; reason: string; exitCode: string } | undefined> {
    const since = new Date(submission.submittedAtMs - 60_000).toISOString().slice(0, 19);
    const answer = await this.commands.run('sacct', [
      '--noheader',
      '--allocations',
      '--parsable2',
      `--name=${submission.name}`,
      `--starttime=${since}`,
      '--format=JobID,State,ExitCode',
    ]);
    if (answer.kind !== 'done') return undefined;
    for (const line of answer.stdout.split('\n')) {
      const [id = '', state = '', exitCode = ''] = line.split('|');
      if (Number(id.split('_')[1] ?? 0) !== submission.index || state === '') continue;
      // "CANCELLED by 1000"
      const word = state.split(' ')[0] ?? '';
      if (phaseOf(word) === 'over') return { state: word, reason: '', exitCode };
    }
    return undefined;
  }

  /** Slurm took its place and wants to run it again: what goes on is a new attempt, which is the facility's to place. */
  private requeued(program: ProgramRef, entry: QueueEntry): ProgramStatus {
    const status: ProgramStatus = {
      state: 'ended',
      exitCode: null,
      signal: null,
      cause: { kind: 'preempted', detail: `Slurm took its place away and queued it again (${entry.reason})` },
    };
    this.ended.set(keyOf(program), status);
    this.folders.mark(program, 'kill');
    void this.cancel(entry.id);
    return status;
  }

  private waiting(program: ProgramRef, submission: Submission, entry: QueueEntry): ProgramStatus {
    const { pendingSecondsMax } = this.options;
    if (Date.now() - submission.submittedAtMs < pendingSecondsMax * 1000)
      return { state: 'pending', reason: entry.reason };
    const detail = `Slurm did not start it within ${pendingSecondsMax} s (${entry.reason})`;
    const status: ProgramStatus = {
      state: 'ended',
      exitCode: null,
      signal: null,
      cause: { kind: 'not-started', detail },
    };
    this.ended.set(keyOf(program), status);
    this.folders.mark(program, 'kill');
    void this.cancel(entry.id);
    // The next one would wait as long.
    this.hold(detail);
    return status;
  }

  private noteKilled(program: ProgramRef, hadEnded: boolean): void {
    if (hadEnded || this.ended.has(keyOf(program)) || this.readOwnEnd(program) !== undefined) return;
    this.ended.set(keyOf(program), { state: 'ended', exitCode: null, signal: 'SIGKILL' });
  }

  /** Ends whatever carries our name and is nobody's: doubles, what was given up, what was killed unheard. */
  private sweep(view: QueueView): void {
    const owners = new Map(this.folders.all().map((owner) => [taskKey(owner.name, owner.index), owner]));
    for (const [key, entries] of view.entries) {
      const left = entries.filter((entry) => phaseOf(entry.state) !== 'over');
      const owner = owners.get(key);
      const keep =
        owner === undefined || this.folders.has(owner, 'kill')
          ? undefined
          : choose(left, this.folders.file(owner, 'began/job'));
      for (const entry of left) if (entry !== keep) void this.cancel(entry.id);
    }
  }

  private async cancel(id: string): Promise<void> {
    if (this.cancelling.has(id)) return;
    this.cancelling.add(id);
    try {
      // First the kill, which a program cannot trap; then out of the queue, so that it is not started again.
      await this.commands.run('scancel', ['--full', '--signal=KILL', id]);
      await this.commands.run('scancel', [id]);
    } finally {
      this.cancelling.delete(id);
    }
  }

  /** Looks for a name for a while although no program asks: it may turn up late, and must not run. */
  private abandon(name: string): void {
    const isWatching = this.abandoned.size > 0;
    this.abandoned.set(name, performance.now() + abandonedForMs);
    if (isWatching) return;
    const timer = setInterval(
      () => {
        for (const [waiting, untilMs] of this.abandoned)
          if (performance.now() > untilMs) this.abandoned.delete(waiting);
        if (this.abandoned.size === 0) clearInterval(timer);
        void this.queue.latest();
      },
      Math.min(abandonedLookMs, this.options.pollMs),
    );
    timer.unref();
  }

  private noteOutcome(failure: string | null): void {
    if (failure === null) this.holdOff = { untilMs: 0, failures: 0, why: '' };
    else this.hold(`Slurm takes no jobs now: ${failure}`);
  }

  private hold(why: string): void {
    const failures = this.holdOff.failures + 1;
    const forMs = Math.min(holdOffMaxMs, holdOffBaseMs * 2 ** (failures - 1));
    this.holdOff = { untilMs: performance.now() + forMs, failures, why: why.slice(0, 450) };
  }
}

/** Of several Slurm jobs for one program, that in which it runs; else the first, which will run unless it ends. */
function choose(entries: readonly QueueEntry[] | undefined, job: string | undefined): QueueEntry | undefined {
  if (entries === undefined) return undefined;
  const running = entries.find((entry) => job !== undefined && sameJob(entry, job));
  return running ?? entries.find((entry) => phaseOf(entry.state) !== 'over') ?? entries.at(-1);
}

/** `began/job` is always JOB_TASK, squeue says JOB for a job that is no array. */
function sameJob(entry: QueueEntry, job: string): boolean {
  return entry.id === job || `${entry.id}_0` === job;
}

const keyOf = (program: { readonly jobId: string; readonly attempt: number }): string =>
  `${program.jobId}.${program.attempt}`;

function refOf({ jobId, attempt, name, index }: Submission): ProgramRef {
  return { jobId, attempt, handle: JSON.stringify({ name, index }) };
}

function readOutput(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-20_000);
  } catch {
    return '';
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
