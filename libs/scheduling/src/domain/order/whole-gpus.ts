import type { NodeShare, SnapshotCluster } from '../snapshot.js';

const wholeGpuMilli = 1000;

/** Where a gang would go. Without `nodes` the cluster tells only how many GPUs it has. */
export interface Spot {
  readonly clusterId: string;
  readonly nodes?: readonly NodeShare[];
}

interface Machine {
  readonly nodeId: string;
  readonly gpus: number;
  /** Indices of the GPUs that are still to be had, ascending. */
  usable: number[];
}

/**
 * The clusters as if nothing ran, filled gang by gang, first fit. A gang stays within one cluster; one that a node can
 * hold stays within one node; a larger one gets whole nodes and, for what is left over, a part of one more.
 */
export class WholeGpus {
  private readonly clusters: readonly {
    readonly clusterId: string;
    free: number;
    machines: Machine[] | null;
  }[];

  constructor(clusters: readonly SnapshotCluster[]) {
    this.clusters = clusters
      .filter((cluster) => cluster.state === 'active')
      .map((cluster) => {
        const machines = cluster.nodes === undefined ? null : emptied(cluster);
        const free =
          machines?.reduce((sum, { usable }) => sum + usable.length, 0) ?? cluster.capacity?.gpus ?? 0;
        return { clusterId: cluster.clusterId, free, machines };
      });
  }

  get free(): number {
    return this.clusters.reduce((sum, { free }) => sum + free, 0);
  }

  /** Takes the first spot for a gang; undefined if there is none. */
  take(gpus: number): Spot | undefined {
    for (const cluster of this.clusters) {
      if (cluster.free < gpus) continue;
      const nodes = cluster.machines === null ? undefined : takeFrom(cluster.machines, gpus);
      if (nodes === null) continue;
      cluster.free -= gpus;
      return { clusterId: cluster.clusterId, ...(nodes === undefined ? {} : { nodes }) };
    }
    return undefined;
  }
}

/** The nodes with what is free and what live attempts would give back; GPUs that are shared stay out of it. */
function emptied(cluster: SnapshotCluster): Machine[] {
  const machines = (cluster.nodes ?? []).map(({ nodeId, freeGpuMilli }) => ({
    nodeId,
    gpus: freeGpuMilli.length,
    usable: [...freeGpuMilli.keys()].filter((gpu) => freeGpuMilli[gpu] === wholeGpuMilli),
  }));
  const byId = new Map(machines.map((machine) => [machine.nodeId, machine]));
  for (const job of cluster.running ?? []) {
    for (const share of job.on ?? []) {
      if (share.gpuShareMilli === wholeGpuMilli) byId.get(share.nodeId)?.usable.push(...share.gpus);
    }
  }
  for (const machine of machines) machine.usable.sort((a, b) => a - b);
  return machines;
}

function takeFrom(machines: readonly Machine[], gpus: number): NodeShare[] | null {
  if (machines.some((machine) => machine.gpus >= gpus)) {
    const one = machines.find((machine) => machine.usable.length >= gpus);
    return one === undefined ? null : [cut(one, gpus)];
  }
  const whole: Machine[] = [];
  let rest = gpus;
  for (const machine of machines) {
    if (machine.gpus === 0 || rest < machine.gpus || machine.usable.length < machine.gpus) continue;
    whole.push(machine);
    rest -= machine.gpus;
  }
  const last = rest === 0 ? undefined : machines.find((m) => m.usable.length >= rest && !whole.includes(m));
  if (rest > 0 && last === undefined) return null;
  const shares = whole.map((machine) => cut(machine, machine.gpus));
  return last === undefined ? shares : [...shares, cut(last, rest)];
}

function cut(machine: Machine, gpus: number): NodeShare {
  return { nodeId: machine.nodeId, gpus: machine.usable.splice(0, gpus), gpuShareMilli: wholeGpuMilli };
}
