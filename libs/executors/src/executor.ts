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
  /** More than one makes a gang of a training: that many processes, each told its rank (`gangSize`). */
  readonly gpus: number;
  /** Which of the cluster's GPUs, where the executor shares them out itself. */
  readonly gpuIndices: readonly number[];
  /** How much of its one GPU, in thousandths; absent or 1000: all of its GPUs. Others run on the rest. */
  readonly gpuShareMilli?: number;
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

/** Why a batch system ended a program that did not end by itself. */
export interface EndCause {
  readonly kind: /** It was asked to save its state by the batch system, or its place was taken: it may go on elsewhere. */
    | 'preempted'
    /** It never ran: the batch system did not start it within the time that the site allows for waiting. */
    | 'not-started'
    /** The bound that the job itself set. */
    | 'time-limit'
    | 'out-of-memory'
    | 'node-failed'
    /** Somebody at the site ended it. */
    | 'cancelled';
  /** A sentence for the person who reads why the attempt ended. */
  readonly detail: string;
}

export type ProgramStatus =
  /** Submitted, not yet started: the queue of a batch system, with its own word why. */
  | { readonly state: 'pending'; readonly reason?: string }
  | { readonly state: 'running' }
  /** Cannot be found out now; ask again. Never the end of a program. */
  | { readonly state: 'unknown'; readonly reason: string }
  | {
      readonly state: 'ended';
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly cause?: EndCause;
    }
  /** Gone without a trace of how it ended. */
  | { readonly state: 'vanished'; readonly reason?: string };

/** `checkpoint`: save and end with the exit code for requeue. `stop`: the same, soon to be followed by a kill. */
export type ProgramSignal = 'checkpoint' | 'stop';

export type CannotStart = Problem<'executor.cannot-start'>;

/** Files in the workdir to which a program's output goes, whatever executor runs it. */
export const outputFiles = { stdout: 'runner.out', stderr: 'runner.err' } as const;

/** What a batch system has for us now. */
export interface SiteCapacity {
  /** GPUs of nodes that take work, or slots where there are none. */
  readonly gpus: number;
  /** Null where the batch system does not know the type. */
  readonly gpuType: string | null;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly nodes: number;
  /** Why nothing new can start here at all: partition or all nodes drained. Null when something can. */
  readonly draining: string | null;
}

/**
 * Runs programs at a cluster. The local executor starts processes, the Slurm one submits batch jobs; the suite in
 * `conformance.ts` says what all must keep to. Output goes to files in the workdir, so that it outlives the agent.
 */
export interface Executor {
  readonly kind: 'local' | 'slurm';
  /** Where a program that serves must listen, for the agent to reach it at `addressOf`. */
  readonly listenHost: '127.0.0.1' | '0.0.0.0';
  /** Answers when the program is started, or waits in the batch system's queue. Repeating it starts nothing twice. */
  start(spec: ProgramSpec): Promise<Result<ProgramRef, CannotStart>>;
  poll(program: ProgramRef): Promise<ProgramStatus>;
  /** Asks a program to end by itself; nothing happens to one that has ended. */
  signal(program: ProgramRef, signal: ProgramSignal): Promise<void>;
  /** Ends a program and all that it started, now; resolves when nothing of it is left. */
  kill(program: ProgramRef): Promise<void>;
  /** The host on which a running program can be reached. */
  addressOf(program: ProgramRef): Promise<string>;
  /**
   * Lets a program go on for `forMs` from now. Once said, it must be said again in time: otherwise the program is
   * ended even if this process is frozen and cannot do it. An executor without it leaves such programs to the server,
   * which fences what they write.
   */
  keepFor?(program: ProgramRef, forMs: number): Promise<void>;
  /** Programs that an earlier agent process left running here. Never anybody else's. */
  leftovers(): Promise<ProgramRef[]>;
  /** Forgets a program that has ended. */
  forget(program: ProgramRef): Promise<void>;
  /** Why nothing can be started at this moment, or null; work that is offered meanwhile is declined with it. */
  unavailable(): string | null;
  /** What there is, where the executor knows better than the agent's file; throws while it cannot be asked. */
  capacity?(): Promise<SiteCapacity>;
}

/**
 * Processes of a program: a training on several GPUs is a gang with one process each, told its place by torchrun's
 * variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR …, https://docs.pytorch.org/docs/stable/elastic/run.html).
 * Everything else drives its GPUs from one process.
 */
export function gangSize(spec: Pick<ProgramSpec, 'kind' | 'gpus'>): number {
  return spec.kind === 'train' ? Math.max(1, spec.gpus) : 1;
}
