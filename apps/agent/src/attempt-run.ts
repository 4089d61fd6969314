import { randomBytes } from 'node:crypto';
import {
  type AttemptAssignment,
  type AttemptState,
  type RunnerEvent,
  runnerEvent,
  serveTokenVariable,
} from '@beamtime/contracts';
import type { Executor, ProgramRef, ProgramStatus } from '@beamtime/executors';
import type { AgentFiles, AttemptFiles } from './attempt-files.js';
import { AttemptReporter } from './attempt-reporter.js';
import { CommandAttempt, type CommandPlace } from './command/command-attempt.js';
import { type Facility, Fenced } from './facility.js';
import type { GpuGrant } from './gpu-slots.js';
import { StagingFailed } from './input-cache.js';
import { Lease } from './lease.js';
import type { Log } from './log.js';
import { type Outcome, outcomeOf, type StopWish } from './outcome.js';
import { type Offer, whyNotAsOffered } from './own-policy.js';
import { pause } from './pause.js';
import { TakeOutputs } from './take-outputs.js';
import type { ServeTunnels } from './tunnel/serve-tunnels.js';
import type { AttemptAddress } from './upload-files.js';

/** What an attempt needs of its agent. */
export interface RunPlace {
  readonly facility: Facility;
  readonly executor: Executor;
  readonly files: AgentFiles;
  readonly incarnation: number;
  readonly grant: GpuGrant;
  readonly times: { readonly leaseTtlMs: number; readonly stopMarginMs: number };
  readonly tunnels: ServeTunnels;
  /** Undefined where this cluster runs no commands. */
  readonly commands: CommandPlace | undefined;
  readonly log: Log;
}

const lookEveryMs = 150;
/** How long a program may take to save its state and end, before it is killed. */
const graceMs = { cancel: 10_000, preempt: 60_000, time: 30_000 } as const;
/** Output beyond this is a program gone wild: it is ended before it fills the disk. */
const outputBytesMax = 256 * 1024 * 1024;
const keptTailChars = 2_000;

/** One attempt from accepted offer to reported end. */
export class AttemptRun {
  readonly jobId: string;
  readonly attempt: number;
  /** Told with every sync, as soon as the offer is accepted and until the end is reported. */
  state: AttemptState = 'offered';
  accepted = false;
  private lease: Lease;
  private readonly abort = new AbortController();
  private readonly reporter: AttemptReporter;
  private readonly address: AttemptAddress;
  private readonly files: AttemptFiles;
  private readonly outputs: TakeOutputs;
  private commands: CommandAttempt | undefined;
  private wish: (StopWish & { sinceMs: number; told: boolean }) | undefined;
  /** Nothing of its program is left; what remains is to say so, and to clear away. */
  hasEnded = false;
  private program: ProgramRef | undefined;
  private failedEvent: { code: string; detail: string } | undefined;
  private stderrTail = '';
  private readonly serveToken = randomBytes(24).toString('base64url');

  constructor(
    private readonly offer: Offer,
    private readonly place: RunPlace,
  ) {
    this.jobId = offer.jobId;
    this.attempt = offer.attempt;
    this.lease = new Lease(performance.now(), place.times.leaseTtlMs, place.times.stopMarginMs);
    this.address = { jobId: this.jobId, attempt: this.attempt, incarnation: place.incarnation };
    this.files = place.files.of(this.address, place.facility);
    this.reporter = new AttemptReporter(place.facility, this.address, this.abort.signal, (error) =>
      this.leave(error as Error),
    );
    this.outputs = new TakeOutputs(this.files.uploads, this.reporter, this.abort.signal, (...line) =>
      this.say(...line),
    );
  }

  renew(sentAtMs: number, ttlMs: number, stopMarginMs: number): void {
    this.lease.renew(sentAtMs, ttlMs, stopMarginMs);
    this.keepProgram().catch((error: Error) =>
      this.say('warn', 'the program could not be kept on', { error: error.message }),
    );
  }

  /** Should this process freeze, the program ends with the lease all the same. */
  private async keepProgram(): Promise<void> {
    if (this.program !== undefined) await this.place.executor.keepFor?.(this.program, this.lease.leftMs());
  }

  /** Asks the program to end; the first wish counts, unless a cancel follows a preemption. */
  ask(wish: StopWish): void {
    if (this.wish !== undefined && !(this.wish.kind === 'preempt' && wish.kind === 'cancel')) return;
    this.wish = { ...wish, sinceMs: performance.now(), told: false };
  }

  /** No longer ours: end it now and say nothing. */
  leave(error: Error): void {
    if (this.abort.signal.aborted) return;
    this.say('warn', 'attempt given up', { why: error.message });
    this.abort.abort(error);
  }

  /** Never throws; when it resolves nothing of the attempt is left here. */
  async run(): Promise<void> {
    const guard = setInterval(() => {
      if (this.lease.mustStop()) this.leave(new Error('the lease could not be renewed in time'));
    }, 50);
    try {
      const outcome = await this.work();
      this.hasEnded = true;
      await this.end(outcome);
    } catch (error) {
      if (!this.abort.signal.aborted && !(error instanceof Fenced)) {
        this.say('error', 'attempt failed here', { error: (error as Error).message });
        await this.reportFailure(error as Error);
      }
    } finally {
      clearInterval(guard);
      await this.cleanUp();
    }
  }

  private async work(): Promise<Outcome> {
    const accepted = await this.accept();
    const deceived = whyNotAsOffered(this.offer, accepted);
    if (deceived !== null) return { state: 'failed', reason: deceived, retriable: false };
    const assignment = listeningAt(this.place.executor.listenHost, accepted);
    await this.enter('staging');
    await this.stage(assignment);
    if (this.wish?.kind === 'cancel') return { state: 'cancelled', reason: this.wish.reason };
    if (this.wish !== undefined) return { state: 'preempted', reason: this.wish.reason };
    const started = await this.place.executor.start({
      jobId: this.jobId,
      attempt: this.attempt,
      kind: assignment.runner.kind,
      ...(this.commands === undefined ? {} : { program: this.commands.program }),
      workdir: this.files.workdir,
      jobFile: this.files.jobFile,
      gpus: assignment.resources.gpus,
      gpuIndices: this.place.grant.indices,
      gpuShareMilli: this.place.grant.shareMilli,
      env: assignment.runner.kind === 'serve' ? { [serveTokenVariable]: this.serveToken } : {},
      maxSeconds: this.secondsLeft(assignment),
    });
    if (!started.ok) return { state: 'failed', reason: started.error.detail, retriable: true };
    this.program = started.value;
    await this.keepProgram();
    const status = await this.follow(started.value, assignment);
    return outcomeOf({
      kind: assignment.runner.kind,
      status,
      wish: this.wish,
      failed: this.commands?.failed ?? this.failedEvent,
      stderrTail: this.stderrTail,
    });
  }

  /** Never more than was offered, which this cluster's policy has admitted. */
  private secondsLeft(assignment: AttemptAssignment): number {
    return Math.min(assignment.secondsLeft, this.offer.resources.maxSeconds);
  }

  private async accept(): Promise<AttemptAssignment> {
    const sentAtMs = performance.now();
    const { jobId, attempt } = this;
    const assignment = await this.place.facility.advance(
      this.place.incarnation,
      { kind: 'accept', jobId, attempt },
      this.abort.signal,
    );
    if (assignment === null) throw new Error('the facility said nothing of what to run');
    const { leaseTtlMs, stopMarginMs } = this.place.times;
    this.lease = new Lease(sentAtMs, leaseTtlMs, stopMarginMs);
    this.accepted = true;
    this.state = 'accepted';
    this.say('info', 'accepted', { kind: assignment.runner.kind, resume: assignment.resume?.step });
    return assignment;
  }

  private async enter(state: 'staging' | 'running' | 'finalizing'): Promise<void> {
    this.state = state;
    await this.reporter.state({ state });
  }

  private async stage(assignment: AttemptAssignment): Promise<void> {
    await this.files.stage(assignment, this.abort.signal);
    if (assignment.runner.kind !== 'command') return;
    const { commands } = this.place;
    if (commands === undefined) throw new Error('this cluster runs no commands');
    this.commands = new CommandAttempt(assignment.runner, commands, this.files, {
      facility: this.place.facility,
      address: this.address,
      reporter: this.reporter,
      signal: this.abort.signal,
      onRefused: (error) => this.leave(error),
    });
    await this.commands.stage();
  }

  /** Follows the program's output until it has ended and all of it is read. */
  private async follow(program: ProgramRef, assignment: AttemptAssignment): Promise<ProgramStatus> {
    // Counted from its beginning, not from when it joined the queue of a batch system.
    let endsAtMs = Number.POSITIVE_INFINITY;
    for (;;) {
      this.abort.signal.throwIfAborted();
      const status = await this.place.executor.poll(program);
      const over = status.state === 'ended' || status.state === 'vanished';
      if (this.state !== 'running' && (status.state === 'running' || hasRun(status))) {
        endsAtMs = performance.now() + this.secondsLeft(assignment) * 1000;
        await this.enter('running');
      }
      const printed = await this.files.printed(over);
      for (const line of printed.stdout) await this.takeLine(line);
      for (const line of printed.stderr) this.takeError(line);
      if (over) return status;
      if (performance.now() >= endsAtMs) this.ask({ kind: 'time', reason: 'the time bound is used up' });
      if (printed.bytes > outputBytesMax) {
        throw new Error(`the program printed more than ${outputBytesMax} bytes`);
      }
      if (this.outputs.failed !== undefined) throw this.outputs.failed;
      await this.pursueWish(program, status);
      await pause(lookEveryMs, this.abort.signal);
    }
  }

  private async pursueWish(program: ProgramRef, status: ProgramStatus): Promise<void> {
    if (this.wish === undefined) return;
    if (status.state === 'pending') {
      // It has nothing to save.
      await this.place.executor.kill(program);
    } else if (!this.wish.told) {
      this.wish.told = true;
      this.say('info', `asked to end: ${this.wish.reason}`);
      await this.place.executor.signal(program, this.wish.kind === 'preempt' ? 'checkpoint' : 'stop');
    } else if (performance.now() - this.wish.sinceMs > graceMs[this.wish.kind]) {
      await this.place.executor.kill(program);
    }
  }

  private async takeLine(line: string): Promise<void> {
    if (this.commands !== undefined) {
      this.commands.takeLine(line);
      return;
    }
    const event = readEvent(line, this.jobId, this.attempt);
    if (event === undefined) {
      if (line !== '') this.reporter.log('stdout', `${line}\n`);
      return;
    }
    if (event.kind === 'failed') this.failedEvent = event;
    if (event.kind === 'ready') await this.openTunnel(event);
    await this.outputs.take(event);
    // Results have an entry of their own and may be large.
    if (event.kind !== 'evaluation') this.reporter.event(event);
  }

  private async openTunnel(event: Extract<RunnerEvent, { kind: 'ready' }>): Promise<void> {
    const { jobId, attempt, program } = this;
    if (program === undefined) return;
    const host = await this.place.executor.addressOf(program);
    this.place.tunnels.open(
      { jobId, attempt, incarnation: this.place.incarnation },
      { host, port: event.port, token: this.serveToken, revisions: event.revisions },
    );
  }

  private takeError(line: string): void {
    this.stderrTail = `${this.stderrTail}${line}\n`.slice(-keptTailChars);
    this.reporter.log('stderr', `${line}\n`);
  }

  private async end(outcome: Outcome): Promise<void> {
    const { state, reason, exitCode, retriable } = outcome;
    if (state === 'succeeded') await this.enter('finalizing');
    if (state === 'succeeded') await this.commands?.deliver();
    const missing = await this.outputs.settled();
    await this.commands?.settle();
    await this.reporter.flush();
    if (missing !== undefined && state === 'succeeded') {
      await this.reportFailure(missing);
      return;
    }
    this.say(state === 'failed' ? 'warn' : 'info', state, { reason });
    await this.reporter.state({
      state,
      ...(reason === undefined ? {} : { reason: reason.slice(0, keptTailChars) }),
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(retriable === undefined ? {} : { retriable }),
    });
    this.state = state;
  }

  private async reportFailure(error: Error): Promise<void> {
    const full = (error as NodeJS.ErrnoException).code === 'ENOSPC' || /ENOSPC/.test(error.message);
    const reason = full ? `the disk of this cluster is full: ${error.message}` : error.message;
    const where = error instanceof StagingFailed ? 'staging' : 'the agent';
    try {
      await this.killProgram();
      await this.reporter.flush();
      await this.reporter.state({ state: 'failed', reason: `${where}: ${reason}`.slice(0, keptTailChars) });
    } catch (refused) {
      this.say('error', 'the failure could not be reported', { error: (refused as Error).message });
    }
  }

  private async killProgram(): Promise<void> {
    if (this.program !== undefined) await this.place.executor.kill(this.program);
  }

  private async cleanUp(): Promise<void> {
    this.place.tunnels.close(this.jobId);
    await this.killProgram();
    this.abort.abort(new Error('the attempt is over'));
    if (this.program !== undefined) await this.place.executor.forget(this.program);
    const wantedNext = this.state === 'succeeded' ? this.outputs.lastCheckpoint : this.outputs.savedState;
    if (wantedNext !== undefined) {
      await this.files
        .keep(wantedNext.dir, wantedNext.files)
        .catch((error: Error) =>
          this.say('warn', 'what it saved is not kept here', { error: error.message }),
        );
    }
    await this.files
      .remove()
      .catch((error: Error) =>
        this.say('warn', 'the working folder could not be removed', { error: error.message }),
      );
  }

  private say(...[level, message, fields]: Parameters<Log>): void {
    this.place.log(level, message, { job: this.jobId, attempt: this.attempt, ...fields });
  }
}

/** A served model listens where its executor can reach it: on a node of a batch system, not on loopback. */
function listeningAt(listenHost: Executor['listenHost'], assignment: AttemptAssignment): AttemptAssignment {
  const { runner } = assignment;
  if (runner.kind !== 'serve') return assignment;
  return { ...assignment, runner: { ...runner, serve: { ...runner.serve, host: listenHost } } };
}

/** Ended too quickly to be seen running; one that a batch system never began has not run. */
function hasRun(status: ProgramStatus): boolean {
  return status.state === 'ended' && status.exitCode !== null;
}

/** The event that a line holds; anything else that a program prints is text. */
export function readEvent(line: string, jobId: string, attempt: number): RunnerEvent | undefined {
  if (!line.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = runnerEvent.safeParse(value);
  if (!parsed.success || parsed.data.jobId !== jobId || parsed.data.attempt !== attempt) return undefined;
  return parsed.data;
}
