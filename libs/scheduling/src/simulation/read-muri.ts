import { err, ok, type Result } from '@beamtime/kernel';
import { z } from 'zod';
import { decimal, name, readTable, type TraceProblem, wholeNumber } from './read-table.js';

export interface MuriJob {
  readonly name: string;
  readonly gpus: number;
  readonly submittedSeconds: number;
  readonly iterations: number;
  readonly secondsPerIteration: number;
  readonly model: string;
}

export interface MuriCluster {
  readonly switches: number;
  readonly nodesPerSwitch: number;
  readonly gpusPerNode: number;
}

/** Restart overhead in seconds by number of GPUs, then by model. */
export type RestartOverheads = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The simulator of Muri slows every job by this before anything else. */
const slowdown = 1.015;
const gpusMax = 100_000;

/** A trace of Muri: milliseconds in the file, seconds here. In the order of submission, equal times as in the file. */
export function readMuriTrace(text: string, cluster: MuriCluster): Result<MuriJob[], TraceProblem> {
  const rows = readTable(text, {
    name: name('job_id'),
    gpus: wholeNumber('num_gpu', 1, gpusMax),
    submittedMs: decimal('submit_time', 0),
    iterations: wholeNumber('iterations', 1, Number.MAX_SAFE_INTEGER),
    model: name('model_name'),
    iterationMs: decimal('iteration_time', 0, false),
  });
  if (!rows.ok) return rows;
  const perCluster = cluster.nodesPerSwitch * cluster.gpusPerNode;
  const seen = new Map<string, number>();
  for (const { line, name, gpus } of rows.value) {
    const before = seen.get(name);
    if (before !== undefined)
      return err({ detail: `line ${line}: job_id ${name} stands already in line ${before}` });
    seen.set(name, line);
    if (gpus > perCluster)
      return err({
        detail: `line ${line}: the job asks for ${gpus} GPUs, all that is there is ${perCluster}`,
      });
  }
  const jobs = rows.value.map((row) => ({
    name: row.name,
    gpus: row.gpus,
    submittedSeconds: row.submittedMs / 1000,
    iterations: row.iterations,
    secondsPerIteration: (row.iterationMs * slowdown) / 1000,
    model: row.model,
  }));
  return ok(jobs.sort((a, b) => a.submittedSeconds - b.submittedSeconds));
}

/** A cluster file of Muri (`n8g8.csv`): one row. A switch is what a gang may not cross. */
export function readMuriCluster(text: string): Result<MuriCluster, TraceProblem> {
  const rows = readTable(text, {
    switches: wholeNumber('num_switch', 1, 10_000),
    nodesPerSwitch: wholeNumber('num_node_p_switch', 1, 10_000),
    gpusPerNode: wholeNumber('num_gpu_p_node', 1, 1024),
  });
  if (!rows.ok) return rows;
  const [first, second] = rows.value;
  if (second !== undefined) return err({ detail: `line ${second.line}: a cluster is described by one row` });
  return first === undefined ? err({ detail: 'line 2: there is no row' }) : ok(first);
}

const overheadsSchema = z.object({
  _restart_overhead_s_by_gpus_and_model: z.record(z.string(), z.record(z.string(), z.number().nonnegative())),
});

/** The table of overheads out of the file of published results. */
export function readMuriOverheads(text: string): Result<RestartOverheads, TraceProblem> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return err({ detail: 'it is no JSON' });
  }
  const parsed = overheadsSchema.safeParse(json);
  if (parsed.success) return ok(parsed.data._restart_overhead_s_by_gpus_and_model);
  const [issue] = parsed.error.issues;
  return err({ detail: `${issue?.path.join('.')}: ${issue?.message}` });
}
