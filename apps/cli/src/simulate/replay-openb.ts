import {
  type PackingScore,
  readOpenbNodes,
  readOpenbPods,
  simulateOpenb,
} from '@beamtime/scheduling/simulate';
import type { CliIo } from '../core/cli-io.js';
import { formatFields } from '../core/format-table.js';
import { besides, findFile, oneOf, readTrace } from './find-data.js';
import type { SimulateOptions } from './simulate-options.js';

export const openbPolicies: readonly PackingScore[] = [
  'random',
  'dot-product',
  'clustering',
  'packing',
  'best-fit',
  'fgd',
  'beamtime',
];

const usualPods = 'openb/openb_pod_list_default.csv';
const usualNodes = 'openb_node_list_gpu_node.csv';

export async function replayOpenb(io: CliIo, options: SimulateOptions, seed: number): Promise<void> {
  const policy = oneOf('--policy of the scenario openb', openbPolicies, options.policy);
  const trace = findFile(io, '--trace', options.trace ?? usualPods);
  const nodeFile = besides(io, '--nodes', options.nodes, trace, 'openb', usualNodes);
  const nodes = await readTrace(nodeFile, readOpenbNodes);
  const pods = await readTrace(trace, readOpenbPods);
  const progress = io.progress('Pods arrived', pods.length);
  const startedMs = performance.now();
  const report = simulateOpenb(nodes, pods, policy, seed, (arrived, all) =>
    progress.at(Math.floor((arrived / all) * pods.length)),
  );
  progress.done();
  const wallSeconds = (performance.now() - startedMs) / 1000;
  io.show({ scenario: 'openb', policy, seed, ...report, wall_s: wallSeconds }, () =>
    formatFields({
      pods: trace,
      nodes: `${nodes.length} in ${nodeFile}`,
      policy,
      'pods arrived': report.jobs,
      'fitted nowhere': report.refused,
      'GPUs allocated at 100 % arrived, %': report.gpu_allocated_pct_at_100_arrived.toFixed(2),
      'GPUs allocated at 130 % arrived, %': report.gpu_allocated_pct_at_130_arrived.toFixed(2),
    }),
  );
}
