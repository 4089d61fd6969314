import type { Problem, Result } from '@beamtime/kernel';

/** What runs for one attempt: one command in one folder. */
export interface ProgramSpec {
  readonly jobId: string;
  readonly attempt: number;
  /** Runner command: train, serve, capture, evaluate. */
  readonly kind: string;
  /** What to start in the place of the configured runner, with the same arguments after it. */
  readonly program?: readonly string[];
  /** An existing folder of this attempt alone; inputs are staged in it already. */
  readonly workdir: string;
  /** The job file, inside or outside the workdir. */
  readonly jobFile: string;
  readonly gpus: number;
  /** Which of the cluster's GPUs, where the executor shares them out itself. */
  readonly gpuIndices: readonly number[];
  /** Variables for this program beside the few that every program gets. Values may be secrets. */
  readonly env: Readonly<Record<string, string>>;
  /** Bound on the running time, for executors that can enforce one. */
  readonly maxSeconds: number;
}

/** Names a program across restarts of the agent; opaque to everyone but its executor. */
export interface ProgramRef {
  readonly jobId: string;
  readonly attempt: number;
  readonly handle: string;
}

export type ProgramStatus =
  /** Submitted, not yet started: the queue of a batch system. */
  | { readonly state: 'pending' }
  | { readonly state: 'running' }
  | { readonly state: 'ended'; readonly exitCode: number | null; readonly signal: string | null }
  /** Gone without a trace of how it ended. */
  | { readonly state: 'vanished' };

/** `checkpoint`: save and end with the exit code for requeue. `stop`: the same, soon to be followed by a kill. */
export type ProgramSignal = 'checkpoint' | 'stop';

export type CannotStart = Problem<'executor.cannot-start'>;

/** Files in the workdir to which a program's output goes, whatever executor runs it. */
export const outputFiles = { stdout: 'runner.out', stderr: 'runner.err' } as const;

/**
 * Runs programs at a cluster. The local executor starts processes, the Slurm one submits batch jobs; the suite in
 * `conformance.ts` says what all must keep to. Output goes to files in the workdir, so that it outlives the agent.
 */
export interface Executor {
  readonly kind: 'local' | 'slurm';
  start(spec: ProgramSpec): Promise<Result<ProgramRef, CannotStart>>;
  poll(program: ProgramRef): Promise<ProgramStatus>;
  /** Asks a program to end by itself; nothing happens to one that has ended. */
  signal(program: ProgramRef, signal: ProgramSignal): Promise<void>;
  /** Ends a program and all that it started, now; resolves when nothing of it is left. */
  kill(program: ProgramRef): Promise<void>;
  /** Programs that an earlier agent process left running here. Never anybody else's. */
  leftovers(): Promise<ProgramRef[]>;
  /** Forgets a program that has ended. */
  forget(program: ProgramRef): Promise<void>;
}
