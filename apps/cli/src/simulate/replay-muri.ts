import {
  type MuriCluster,
  type Rank,
  readMuriCluster,
  readMuriOverheads,
  readMuriTrace,
  simulateMuri,
} from '@beamtime/scheduling/simulate';
import type { CliIo } from '../core/cli-io.js';
import { formatFields } from '../core/format-table.js';
import { UsageError } from '../core/usage-error.js';
import { besides, findFile, oneOf, readTrace } from './find-data.js';
import type { SimulateOptions } from './simulate-options.js';

export const muriPolicies: readonly Rank[] = ['srtf', 'srsf', 'tiresias'];

export async function replayMuri(io: CliIo, options: SimulateOptions, seed: number): Promise<void> {
  const rank = oneOf('--policy of the scenario muri', muriPolicies, options.policy);
  if (options.trace === undefined)
    throw new UsageError('The scenario muri needs --trace, for example --trace muri/trace1.csv');
  const trace = findFile(io, '--trace', options.trace);
  const cluster = await readTrace(
    besides(io, '--cluster', options.cluster, trace, 'muri', 'n8g8.csv'),
    readMuriCluster,
  );
  const overheads = await readTrace(
    besides(io, '--overheads', options.overheads, trace, 'muri', 'published.json'),
    readMuriOverheads,
  );
  const jobs = await readTrace(trace, (text) => readMuriTrace(text, cluster));
  const progress = io.progress('Jobs finished', jobs.length);
  const startedMs = performance.now();
  const report = simulateMuri(jobs, cluster, overheads, rank, seed, (finished) => progress.at(finished));
  progress.done();
  const shown = {
    scenario: 'muri',
    policy: rank,
    seed,
    ...report,
    wall_s: (performance.now() - startedMs) / 1000,
  };
  io.show(shown, () =>
    formatFields({
      trace,
      cluster: describeCluster(cluster),
      policy: rank,
      jobs: report.jobs,
      'mean completion, s': report.mean_jct_s.toFixed(1),
      '99 % of completions, s': report.p99_jct_s.toFixed(1),
      'makespan, s': report.makespan_s.toFixed(1),
      'mean wait, s': report.mean_wait_s.toFixed(1),
      utilisation: report.utilisation.toFixed(3),
      preemptions: report.preemptions,
      'lost GPU hours': (report.lost_gpu_s / 3600).toFixed(1),
    }),
  );
}

function describeCluster({ switches, nodesPerSwitch, gpusPerNode }: MuriCluster): string {
  const nodes = `${nodesPerSwitch} nodes of ${gpusPerNode} GPUs`;
  return switches === 1 ? nodes : `${switches} switches with ${nodes} each`;
}
