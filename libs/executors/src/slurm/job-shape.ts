import { err, ok, type Result } from '@beamtime/kernel';
import { gangSize, type ProgramSpec } from '../executor.js';

/** What of a site decides how its jobs ask for nodes, GPUs, CPUs and memory. */
export interface SiteShape {
  /** False: one of our GPUs is a slot of CPUs here. */
  readonly hasGpus: boolean;
  /** As in `--gres=gpu:TYPE:N`; null asks for any. */
  readonly gpuType: string | null;
  /** GPUs, or slots, of the largest node; null while unknown: all on one node. */
  readonly gpusPerNode: number | null;
  readonly nodes: number;
  readonly cpusPerGpu: number;
  readonly memoryMiBPerGpu: number | null;
}

/** Nodes and processes of one program. */
export interface JobShape {
  readonly nodes: number;
  readonly tasksPerNode: number;
  readonly processes: number;
  readonly sbatch: readonly string[];
}

/**
 * A gang takes as few nodes as it can, the same number of GPUs on each: torch's collectives are slowest where the
 * fewest are, and `--gres` counts per node.
 */
export function shapeOf(spec: Pick<ProgramSpec, 'kind' | 'gpus'>, site: SiteShape): Result<JobShape, string> {
  const gpus = Math.max(site.hasGpus ? 0 : 1, spec.gpus);
  const perNodeMax = site.gpusPerNode ?? gpus;
  const what = site.hasGpus ? 'GPUs' : 'slots';
  const processes = gangSize(spec);
  if (gpus > perNodeMax && processes === 1)
    return err(
      `a ${spec.kind} job of ${gpus} ${what} needs them on one node, the largest here has ${perNodeMax}`,
    );
  let nodes = Math.max(1, Math.ceil(gpus / Math.max(1, perNodeMax)));
  while (gpus % nodes !== 0) nodes += 1;
  if (nodes > Math.max(1, site.nodes))
    return err(
      `${gpus} ${what} cannot be shared evenly among the ${site.nodes} nodes of up to ${perNodeMax} here`,
    );
  const perNode = gpus / nodes;
  const tasksPerNode = processes === 1 ? 1 : perNode;
  const cpus = Math.max(1, (Math.max(1, perNode) * site.cpusPerGpu) / tasksPerNode);
  const type = site.gpuType === null ? '' : `${site.gpuType}:`;
  return ok({
    nodes,
    tasksPerNode,
    processes,
    sbatch: [
      `--nodes=${nodes}`,
      `--ntasks-per-node=${tasksPerNode}`,
      `--cpus-per-task=${cpus}`,
      ...(site.hasGpus && perNode > 0 ? [`--gres=gpu:${type}${perNode}`] : []),
      ...(site.memoryMiBPerGpu === null ? [] : [`--mem=${site.memoryMiBPerGpu * Math.max(1, perNode)}M`]),
    ],
  });
}
