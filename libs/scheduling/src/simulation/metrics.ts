/** What became of the jobs of a replay, in columns: they are many. Times in seconds. */
export interface FinishedJobs {
  readonly submittedSeconds: ArrayLike<number>;
  readonly endedSeconds: ArrayLike<number>;
  /** How long each runs undisturbed. */
  readonly durationSeconds: ArrayLike<number>;
}

/** The report of a simulation, with the names that `beamtime simulate --json` prints. */
export interface SimulationReport {
  readonly jobs: number;
  readonly mean_wait_s: number;
  readonly p50_wait_s: number;
  readonly p90_wait_s: number;
  readonly p99_wait_s: number;
  readonly mean_jct_s: number;
  readonly p99_jct_s: number;
  readonly makespan_s: number;
  readonly utilisation: number;
  readonly preemptions: number;
  readonly lost_gpu_s: number;
  readonly labs: Readonly<
    Record<string, { readonly mean_jct_s: number; readonly silo_jct_s: number; readonly ratio: number }>
  >;
  readonly labs_worse_off: number;
}

/** sorted[⌊q·n⌋], as the published results take it. */
function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

/**
 * Waits and completion times. A wait is delay: completion − submission − duration, so what preemption costs is in it.
 * The makespan counts from the beginning of the trace, time 0.
 */
export function timesOf({ submittedSeconds, endedSeconds, durationSeconds }: FinishedJobs) {
  const { length } = endedSeconds;
  const waits = new Float64Array(length);
  const completions = new Float64Array(length);
  let makespan = 0;
  for (let at = 0; at < length; at++) {
    const ended = endedSeconds[at] as number;
    completions[at] = ended - (submittedSeconds[at] as number);
    waits[at] = ended - (submittedSeconds[at] as number) - (durationSeconds[at] as number);
    if (ended > makespan) makespan = ended;
  }
  // Numbers sort as numbers here, without being compared one by one in JavaScript.
  waits.sort();
  completions.sort();
  return {
    jobs: length,
    mean_wait_s: mean(waits),
    p50_wait_s: quantile(waits, 0.5),
    p90_wait_s: quantile(waits, 0.9),
    p99_wait_s: quantile(waits, 0.99),
    mean_jct_s: mean(completions),
    p99_jct_s: quantile(completions, 0.99),
    makespan_s: makespan,
  };
}

function mean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length === 0 ? 0 : sum / values.length;
}
