export interface SlurmOptions {
  /** The runner: `['/path/to/python', '-m', 'beamtime_runner']`, on every node. Kind, --job and --workdir follow. */
  readonly command: readonly string[];
  /** Where it remembers its programs; nodes must see it, and workdirs, under the same path. */
  readonly stateDir: string;
  /** Names of variables that programs inherit from the agent. */
  readonly passEnv?: readonly string[];
  readonly conf?: string;
  readonly bin?: string;
  readonly partition?: string;
  readonly account?: string;
  readonly qos?: string;
  readonly gpuType?: string;
  /** CPUs for each GPU, or of each slot where there are none. */
  readonly cpusPerGpu?: number;
  readonly memoryMiBPerGpu?: number;
  /** More options for sbatch; see `sbatchOptionFault`. */
  readonly options?: readonly string[];
  /** Shell lines before each program: `module load …`. */
  readonly setup?: readonly string[];
  /** How often squeue is asked, for all programs together. */
  readonly pollMs?: number;
  readonly commandTimeoutMs?: number;
  /** How long programs that start together are gathered into one array. */
  readonly gatherMs?: number;
  /** Tasks of one array; Slurm's own default bound, MaxArraySize, is 1001. */
  readonly arrayTasksMax?: number;
  /** An attempt that Slurm does not start for so long goes back. */
  readonly pendingSecondsMax?: number;
  /** Between a job's own bound, which the agent keeps, and Slurm's; holds the 90 s of Slurm's warning. */
  readonly timeMarginSeconds?: number;
  /** How long the word of a script may take to arrive here over a shared file system after its job has ended. */
  readonly settleMs?: number;
  readonly orphanSeconds?: number;
  readonly watchSeconds?: number;
  readonly submitTries?: number;
}

export type ResolvedOptions = ReturnType<typeof resolveOptions>;

export function resolveOptions(options: SlurmOptions) {
  return {
    cpusPerGpu: 1,
    options: [] as readonly string[],
    setup: [] as readonly string[],
    passEnv: [] as readonly string[],
    pollMs: 5_000,
    commandTimeoutMs: 30_000,
    gatherMs: 300,
    arrayTasksMax: 200,
    pendingSecondsMax: 14_400,
    timeMarginSeconds: 180,
    settleMs: 15_000,
    orphanSeconds: 900,
    watchSeconds: 5,
    submitTries: 4,
    ...options,
  };
}
