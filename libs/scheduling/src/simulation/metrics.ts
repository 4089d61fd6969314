/** What a simulation tells of one finished job. Times in seconds. */
export interface FinishedJob {
  readonly labId: string | null;
  readonly submittedSeconds: number;
  readonly endedSeconds: number;
  /** How long it runs undisturbed. */
  readonly durationSeconds: number;
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
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

/**
 * Waits and completion times. A wait is delay: completion − submission − duration, so what preemption costs is in it.
 * The makespan counts from the beginning of the trace, time 0.
 */
export function timesOf(jobs: readonly FinishedJob[]) {
  const waits = jobs
    .map((job) => job.endedSeconds - job.submittedSeconds - job.durationSeconds)
    .sort(ascending);
  const completions = jobs.map((job) => job.endedSeconds - job.submittedSeconds).sort(ascending);
  return {
    jobs: jobs.length,
    mean_wait_s: mean(waits),
    p50_wait_s: quantile(waits, 0.5),
    p90_wait_s: quantile(waits, 0.9),
    p99_wait_s: quantile(waits, 0.99),
    mean_jct_s: mean(completions),
    p99_jct_s: quantile(completions, 0.99),
    makespan_s: jobs.reduce((latest, job) => Math.max(latest, job.endedSeconds), 0),
  };
}

function ascending(a: number, b: number): number {
  return a - b;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
