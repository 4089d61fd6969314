import { createHash } from 'node:crypto';
import type { ProgramSignal, ProgramSpec, ProgramStatus } from '@beamtime/executors';
import { chance } from './fault-plan.js';
import { epochMs, type Host, type VirtualTime } from './virtual-time.js';

/** One run of a program, as somebody would see it who stands beside the machine. */
export interface Program {
  readonly jobId: string;
  readonly attempt: number;
  readonly cluster: string;
  readonly host: Host;
  readonly gpus: number;
  readonly startMs: number;
  readonly firstStep: number;
  endMs: number | null;
  /** When its agent gave the GPUs back, or was gone; until then it had them, also while it reported the end. */
  heldUntilMs: number | null;
  status: ProgramStatus;
  readonly lines: string[];
  seq: number;
  told: boolean;
  /** The guard ends it then, unless it is kept on. */
  keptUntilMs: number;
}

export interface Violation {
  readonly what: string;
  readonly atMs: number;
  readonly facts: Record<string, unknown>;
}

/** What a job would do if nothing disturbed it: decided by the seed, one step takes a second. */
export interface JobNature {
  readonly steps: number;
  readonly saves: boolean;
  readonly fails: 'never' | 'once' | 'always-badly';
}

const saveEverySteps = 5;
const exitCodes = { done: 0, crashed: 1, badInput: 2, requeue: 75 } as const;

/** What really happened, written down independently of the database and of what anybody believes. */
export class World {
  readonly runs: Program[] = [];
  readonly violations: Violation[] = [];
  private readonly live = new Map<string, Program>();
  private readonly natures = new Map<string, JobNature>();

  constructor(
    private readonly time: VirtualTime,
    private readonly seed: number,
  ) {}

  violate(what: string, facts: Record<string, unknown>): void {
    this.violations.push({ what, atMs: Math.round(this.time.nowMs), facts });
  }

  describe(jobId: string, nature: JobNature): void {
    this.natures.set(jobId, nature);
  }

  begin(lab: { readonly name: string }, host: Host, spec: ProgramSpec, firstStep: number): Program {
    const program: Program = {
      jobId: spec.jobId,
      attempt: spec.attempt,
      cluster: lab.name,
      host,
      gpus: spec.gpus,
      startMs: this.time.nowMs,
      firstStep,
      endMs: null,
      heldUntilMs: null,
      status: { state: 'running' },
      lines: [],
      seq: 0,
      told: false,
      keptUntilMs: Number.POSITIVE_INFINITY,
    };
    const other = this.live.get(spec.jobId);
    if (other !== undefined) {
      this.violate('two programs of one job at the same time', {
        job: spec.jobId,
        first: `attempt ${other.attempt} on ${other.cluster} since ${other.startMs}`,
        second: `attempt ${spec.attempt} on ${lab.name}`,
      });
    }
    this.runs.push(program);
    this.live.set(spec.jobId, program);
    this.step(program, firstStep);
    return program;
  }

  /** Does the next second of work. */
  private step(program: Program, step: number): void {
    const nature = this.natures.get(program.jobId) ?? { steps: 5, saves: false, fails: 'never' };
    const name = `${program.jobId}/${program.attempt}`;
    if (nature.fails === 'always-badly') {
      this.later(program, 300, () => this.exit(program, exitCodes.badInput));
      return;
    }
    if (nature.fails === 'once' && program.attempt === 1 && step >= nature.steps / 2) {
      this.exit(program, exitCodes.crashed);
      return;
    }
    if (step >= nature.steps) {
      if (nature.saves) {
        this.say(program, 'checkpoint', {
          step,
          revision: `step${step}`,
          dir: 'checkpoints',
          files: [file(name, step)],
          tokensSeen: step,
          bytesSeen: step,
          loss: 1,
          weightsSha256: sha256(`weights ${program.jobId}`),
          chainSha256: sha256(`chain ${program.jobId}`),
        });
        this.say(program, 'done', { wallSeconds: 1, deviceSeconds: 1, peakMemoryBytes: 1 });
      }
      this.exit(program, exitCodes.done);
      return;
    }
    if (nature.saves && step > program.firstStep && step % saveEverySteps === 0) this.save(program, step);
    this.later(program, 1_000, () => this.step(program, step + 1));
  }

  private save(program: Program, step: number): void {
    this.say(program, 'resumable', {
      step,
      dir: 'resumable',
      files: [file(`${program.jobId}/${program.attempt}`, step)],
      chainSha256: sha256(`chain ${program.jobId} ${step}`),
    });
  }

  /** Asked to end: most programs do within a second, some never listen. */
  signal(program: Program, _signal: ProgramSignal): void {
    if (program.told || program.endMs !== null) return;
    program.told = true;
    const name = `${program.jobId}/${program.attempt}`;
    if (chance(this.seed, `${name}/deaf`) < 0.05) return;
    this.later(program, 200 + 800 * chance(this.seed, `${name}/slow`), () =>
      this.exit(program, exitCodes.requeue),
    );
  }

  keepUntil(program: Program, untilMs: number): void {
    program.keptUntilMs = untilMs;
    this.time.at(untilMs, undefined, () => {
      if (program.endMs === null && program.keptUntilMs <= this.time.nowMs)
        this.end(program, { state: 'ended', exitCode: null, signal: 'SIGKILL' });
    });
  }

  private later(program: Program, delayMs: number, work: () => void): void {
    this.time.after(delayMs, undefined, () => {
      if (program.endMs === null) work();
    });
  }

  private say(program: Program, kind: string, fields: object): void {
    const at = new Date(epochMs + this.time.nowMs).toISOString();
    const { jobId, attempt } = program;
    program.lines.push(JSON.stringify({ seq: program.seq++, at, jobId, attempt, kind, ...fields }));
  }

  private exit(program: Program, exitCode: number): void {
    this.end(program, { state: 'ended', exitCode, signal: null });
  }

  end(program: Program, status: ProgramStatus): void {
    if (program.endMs !== null) return;
    program.endMs = this.time.nowMs;
    if (this.live.get(program.jobId) === program) this.live.delete(program.jobId);
    program.status = status;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function file(name: string, step: number) {
  return { path: 'state.bin', bytes: 1_000, sha256: sha256(`${name}/${step}`) };
}
