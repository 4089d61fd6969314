import {
  type AttemptAssignment,
  type AttemptRef,
  type FolderFile,
  jobKindsByDefault,
  requestUploads,
} from '@beamtime/contracts';
import type { Executor, ProgramRef, ProgramSignal, ProgramSpec, ProgramStatus } from '@beamtime/executors';
import { ok } from '@beamtime/kernel';
import { Agent } from '../../../apps/agent/src/agent.js';
import type { AgentConfig } from '../../../apps/agent/src/agent-config.js';
import type { AgentFiles, AttemptFiles, Printed } from '../../../apps/agent/src/attempt-files.js';
import { type Facility, Fenced } from '../../../apps/agent/src/facility.js';
import type { AttemptAddress } from '../../../apps/agent/src/upload-files.js';
import type { FaultPlan } from './fault-plan.js';
import type { SimulatedStore } from './surroundings.js';
import { Host, type VirtualTime } from './virtual-time.js';
import type { Program, World } from './world.js';

const fileBytes = 1_000;
/** A killed agent's programs end with it: the executor's watchers see to that within this time. */
const watcherMs = 100;
/** A supervisor starts an agent again, as systemd does. */
const restartMs = [1_000, 8_000] as const;

/** Fault probabilities per step with a program or on a disk: the agent dies before or after it. */
export interface MachineFaults {
  readonly killedBefore: number;
  readonly killedAfter: number;
}

const keyOf = (ref: AttemptRef): string => `${ref.jobId}.${ref.attempt}`;

/** A machine at a member lab: its programs and folders outlive the agent processes that made them. */
export class MemberLab {
  readonly programs = new Map<string, Program>();
  readonly folders = new Map<string, FolderInMemory>();
  readonly kept = new Map<string, ProgramRef>();
  /** Digests of the saved states that lie here, whoever's process it is. */
  readonly states = new Set<string>();
  /** Agent processes; the last one is the one that its supervisor knows. */
  readonly processes: { host: Host; agent: Agent }[] = [];
  private started = 0;
  private readonly steps = new Map<string, number>();

  constructor(
    readonly name: string,
    readonly clusterId: string,
    readonly gpus: number,
    readonly gpuType: string,
    readonly time: VirtualTime,
    readonly world: World,
    readonly store: SimulatedStore,
    private readonly clock: () => { offsetMs: number; rate: number },
    private readonly random: () => number,
    private readonly trouble: { readonly faults: FaultPlan; readonly rates: MachineFaults },
    /** False once the episode is over. */
    private readonly goesOn: () => boolean,
  ) {}

  /** The next agent process. One that runs already knows nothing of it. */
  start(): void {
    const host = new Host(`${this.name}#${++this.started}`, this.time, this.clock(), this.random);
    const executor = new SimulatedExecutor(this, host);
    const agent = host.run(
      () => new Agent(this.config(), executor, () => undefined, new FilesInMemory(this, host)),
    );
    const entry = { host, agent };
    this.processes.push(entry);
    const running = host.run(() => agent.run());
    running.then(
      () => this.ended(host),
      (error: unknown) => {
        if (!(error instanceof Fenced))
          this.world.violate('an agent crashed', { error: String((error as Error).stack) });
        this.ended(host);
      },
    );
  }

  /** Whether it is one of this machine's agent processes. */
  runs(host: Host): boolean {
    return this.processes.some((one) => one.host === host);
  }

  /** Does what changes programs or disk, in the course of which the agent that asks for it may die. */
  async step<T>(host: Host, what: string, work: () => T | Promise<T>): Promise<T> {
    const { faults, rates } = this.trouble;
    const number = (this.steps.get(`${host.name}/${what}`) ?? 0) + 1;
    this.steps.set(`${host.name}/${what}`, number);
    const name = `machine/${host.name}/${what}/${number}`;
    if (faults.strikes(`${name}/agent-killed`, rates.killedBefore)) this.kill(host);
    // What a dead process still has in hand comes to nothing.
    if (!host.alive) return new Promise(() => undefined);
    const done = await work();
    if (faults.strikes(`${name}/agent-killed-after`, rates.killedAfter)) this.kill(host);
    return host.alive ? done : new Promise(() => undefined);
  }

  /** SIGKILL: nothing of it runs on, and its programs end a moment later. */
  kill(host: Host): void {
    if (!host.alive) return;
    host.alive = false;
    for (const program of this.programs.values())
      if (program.host === host) program.heldUntilMs ??= this.time.nowMs;
    this.time.after(watcherMs * this.random(), undefined, () => {
      for (const program of this.programs.values()) {
        if (program.host === host) this.world.end(program, { state: 'vanished' });
      }
    });
    this.startAgain();
  }

  private ended(host: Host): void {
    if (!host.alive) return;
    host.alive = false;
    this.startAgain();
  }

  private startAgain(): void {
    if (!this.goesOn()) return;
    const [least, most] = restartMs;
    this.time.after(least + (most - least) * this.random(), undefined, () => {
      if (this.goesOn() && !this.processes.some(({ host }) => host.alive)) this.start();
    });
  }

  private config(): AgentConfig {
    return {
      facility: 'http://facility.invalid',
      key: this.clusterId,
      ownFiles: [],
      stateDir: '/nowhere',
      gpus: { count: this.gpus, type: this.gpuType, memoryMiB: null },
      executor: 'local',
      runner: { command: ['simulated'], passEnv: [] },
      policy: {
        kinds: [...jobKindsByDefault],
        labIds: null,
        consortium: true,
        gpusPerJobMax: null,
        secondsPerJobMax: null,
        hoursUtc: null,
      },
      cacheBytesMax: 0,
    } as AgentConfig;
  }
}

/** Programs in virtual time, with the promises that executors give. */
class SimulatedExecutor implements Executor {
  readonly kind = 'local';
  readonly listenHost = '127.0.0.1';

  constructor(
    private readonly lab: MemberLab,
    private readonly host: Host,
  ) {}

  addressOf(): Promise<string> {
    return Promise.resolve(this.listenHost);
  }

  unavailable(): string | null {
    return null;
  }

  async start(spec: ProgramSpec) {
    await this.lab.time.sleep(20, this.host);
    return this.lab.step(this.host, 'start', () => this.begin(spec));
  }
  private begin(spec: ProgramSpec) {
    const key = keyOf(spec);
    const assignment = this.lab.folders.get(key)?.assignment;
    const ref: ProgramRef = { jobId: spec.jobId, attempt: spec.attempt, handle: key };
    this.lab.kept.set(key, ref);
    this.lab.programs.set(
      key,
      this.lab.world.begin(this.lab, this.host, spec, assignment?.resume?.step ?? 0),
    );
    return ok(ref);
  }
  poll(program: ProgramRef): Promise<ProgramStatus> {
    return Promise.resolve(this.lab.programs.get(program.handle)?.status ?? { state: 'vanished' });
  }
  signal(program: ProgramRef, signal: ProgramSignal): Promise<void> {
    const found = this.lab.programs.get(program.handle);
    return this.lab.step(this.host, 'signal', () => {
      if (found !== undefined) this.lab.world.signal(found, signal);
    });
  }
  async kill(program: ProgramRef): Promise<void> {
    const found = this.lab.programs.get(program.handle);
    if (found === undefined || found.endMs !== null) return;
    await this.lab.time.sleep(20, this.host);
    await this.lab.step(this.host, 'kill', () =>
      this.lab.world.end(found, { state: 'ended', exitCode: null, signal: 'SIGKILL' }),
    );
  }
  leftovers(): Promise<ProgramRef[]> {
    return Promise.resolve([...this.lab.kept.values()]);
  }
  forget(program: ProgramRef): Promise<void> {
    return this.lab.step(this.host, 'forget', () => {
      const found = this.lab.programs.get(program.handle);
      if (found !== undefined) found.heldUntilMs ??= this.lab.time.nowMs;
      this.lab.kept.delete(program.handle);
      this.lab.programs.delete(program.handle);
    });
  }
  /** As the local executor's guard: a program that is not kept on ends by itself. */
  keepFor(program: ProgramRef, forMs: number): Promise<void> {
    const found = this.lab.programs.get(program.handle);
    if (found !== undefined)
      this.lab.world.keepUntil(found, this.lab.time.nowMs + forMs / this.host.clock.rate);
    return Promise.resolve();
  }
}

class FilesInMemory implements AgentFiles {
  constructor(
    private readonly lab: MemberLab,
    private readonly host: Host,
  ) {}

  clearLeftovers(): Promise<AttemptRef[]> {
    const left = [...this.lab.folders.values()].map(({ ref }) => ref);
    this.lab.folders.clear();
    return Promise.resolve(left);
  }
  drainAsked(): boolean {
    return false;
  }
  cached(): { version: number; sha256: readonly string[] } {
    return { version: 1 + this.lab.states.size, sha256: [...this.lab.states] };
  }
  relieve(): Promise<void> {
    return Promise.resolve();
  }
  of(address: AttemptAddress, facility: Facility): AttemptFiles {
    return new FolderInMemory(this.lab, this.host, address, facility);
  }
}

class FolderInMemory implements AttemptFiles {
  readonly workdir = '/nowhere/work';
  readonly jobFile = '/nowhere/job.json';
  assignment: AttemptAssignment | undefined;
  private readonly stored = new Set<string>();

  constructor(
    private readonly lab: MemberLab,
    private readonly host: Host,
    private readonly address: AttemptAddress,
    private readonly facility: Facility,
  ) {}

  get ref(): AttemptRef {
    return { jobId: this.address.jobId, attempt: this.address.attempt };
  }

  stage(assignment: AttemptAssignment): Promise<void> {
    return this.lab.step(this.host, 'stage', () => {
      this.assignment = assignment;
      this.lab.folders.set(keyOf(this.address), this);
    });
  }

  printed(): Promise<Printed> {
    const program = this.lab.programs.get(keyOf(this.address));
    return Promise.resolve({ stdout: program?.lines.splice(0) ?? [], stderr: [], bytes: 0 });
  }

  readonly uploads = {
    collect: (_folder: string, files: readonly FolderFile[]) =>
      Promise.resolve(files.map(({ path, sha256 }) => ({ path, sha256, sizeBytes: fileBytes }))),
    upload: async (
      parcels: readonly { sha256: string; sizeBytes: number }[],
      signal: AbortSignal,
    ): Promise<void> => {
      const missing = parcels.filter(({ sha256 }) => !this.stored.has(sha256));
      if (missing.length === 0) return;
      const { jobId, attempt, incarnation } = this.address;
      const files = missing.map(({ sha256, sizeBytes }) => ({ sha256, sizeBytes }));
      const granted = await this.facility.call(
        requestUploads,
        { params: { jobId, attempt }, body: { incarnation, files } },
        signal,
      );
      for (const { sha256, objectKey } of granted.files) {
        this.lab.store.put(objectKey, fileBytes);
        this.stored.add(sha256);
      }
    },
  };

  keep(_folder: string, files: readonly FolderFile[]): Promise<void> {
    for (const { sha256 } of files) this.lab.states.add(sha256);
    return Promise.resolve();
  }

  remove(): Promise<void> {
    return this.lab.step(this.host, 'remove', () => {
      this.lab.folders.delete(keyOf(this.address));
    });
  }
}
