import { decide } from '../domain/decide.js';
import { occupy } from '../domain/packing/node-fit.js';
import type { PackingScore } from '../domain/packing/scores.js';
import { commonAsks } from '../domain/packing/workload.js';
import type { Policy } from '../domain/policy.js';
import type { SnapshotCluster, SnapshotNode, WaitingJob } from '../domain/snapshot.js';
import { Random } from './random.js';
import type { OpenbNode, OpenbPod } from './read-openb.js';

/** Pods arrive until they have asked for so much of the cluster's GPUs. */
const arrivedMax = 1.3;
const wholeGpuMilli = 1000;

export interface PackingReport {
  /** Pods that arrived, and those of them that no node could take. */
  readonly jobs: number;
  readonly refused: number;
  /** Per cent of all GPUs that are allocated when pods have asked for as many as there are, and for 1.3 times as many. */
  readonly gpu_allocated_pct_at_100_arrived: number;
  readonly gpu_allocated_pct_at_130_arrived: number;
}

/**
 * The benchmark of FGD (ATC'23): all pods in an order drawn by lot, then copies of pods drawn by lot, until they have
 * asked for 130 % of the GPUs. Nobody leaves, and a pod that fits nowhere when it arrives is gone. The seed draws the
 * order of the pods, the copies and the order of the nodes, which decides ties.
 */
export function simulateOpenb(
  nodes: readonly OpenbNode[],
  pods: readonly OpenbPod[],
  score: PackingScore,
  seed: number,
  onProgress: (arrivedPods: number, allPods: number) => void = () => undefined,
): PackingReport {
  const random = new Random(seed);
  const gpuMilli = nodes.reduce((sum, node) => sum + node.gpus * wholeGpuMilli, 0);
  const arrivals = arrivalsOf(pods, gpuMilli, random);
  const floor = random.shuffled(nodes).map(idle);
  const workload = commonAsks(pods);
  const policy: Policy = { kind: 'packing', score, workload };
  const cluster = clusterOf(floor, nodes);
  const at = new Map(floor.map((node, index) => [node.nodeId, index]));
  const allocated = new AllocatedAt([100, 130]);
  let arrivedMilli = 0;
  let usedMilli = 0;
  let refused = 0;
  for (const [number, pod] of arrivals.entries()) {
    const job = jobOf(pod, number);
    arrivedMilli += pod.gpus * pod.gpuShareMilli;
    const { place } = decide({ clusters: [cluster], waiting: [job], owners: [] }, number, seed, policy);
    const [share] = place[0]?.nodes ?? [];
    if (share === undefined) refused++;
    else {
      const index = at.get(share.nodeId) ?? -1;
      floor[index] = occupy(floor[index] as SnapshotNode, job, share.gpus);
      usedMilli += pod.gpus * pod.gpuShareMilli;
    }
    allocated.note((100 * arrivedMilli) / gpuMilli, (100 * usedMilli) / gpuMilli);
    onProgress(number + 1, arrivals.length);
  }
  return {
    jobs: arrivals.length,
    refused,
    gpu_allocated_pct_at_100_arrived: allocated.at(100),
    gpu_allocated_pct_at_130_arrived: allocated.at(130),
  };
}

/** All pods once, mixed, and then copies as long as the next does not pass the limit. */
function arrivalsOf(pods: readonly OpenbPod[], gpuMilli: number, random: Random): OpenbPod[] {
  const arrivals = random.shuffled(pods);
  let askedMilli = pods.reduce((sum, pod) => sum + pod.gpus * pod.gpuShareMilli, 0);
  while (askedMilli > arrivedMax * gpuMilli) {
    const [gone] = arrivals.splice(random.below(arrivals.length), 1);
    if (gone === undefined) break;
    askedMilli -= gone.gpus * gone.gpuShareMilli;
  }
  for (;;) {
    const copy = pods[random.below(pods.length)] as OpenbPod;
    if (askedMilli + copy.gpuShareMilli > arrivedMax * gpuMilli) return arrivals;
    askedMilli += copy.gpus * copy.gpuShareMilli;
    arrivals.push(copy);
  }
}

/** The mean of what is allocated while what has arrived rounds to a per cent. */
class AllocatedAt {
  private readonly sums: Map<number, { sum: number; count: number }>;

  constructor(percents: readonly number[]) {
    this.sums = new Map(percents.map((percent) => [percent, { sum: 0, count: 0 }]));
  }

  note(arrivedPercent: number, allocatedPercent: number): void {
    const entry = this.sums.get(Math.round(arrivedPercent));
    if (entry === undefined) return;
    entry.sum += allocatedPercent;
    entry.count++;
  }

  at(percent: number): number {
    const { sum = 0, count = 0 } = this.sums.get(percent) ?? {};
    return sum / count;
  }
}

function idle(node: OpenbNode): SnapshotNode {
  return {
    nodeId: node.name,
    gpuType: node.gpuType === '' ? null : node.gpuType,
    freeGpuMilli: Array.from({ length: node.gpus }, () => wholeGpuMilli),
    freeCpuMilli: node.cpuMilli,
    freeMemoryMiB: node.memoryMiB,
    guestsGpuMilli: [],
  };
}

function clusterOf(floor: readonly SnapshotNode[], nodes: readonly OpenbNode[]): SnapshotCluster {
  return {
    clusterId: 'openb',
    name: 'openb',
    labId: 'trace',
    state: 'active',
    capacity: {
      gpus: nodes.reduce((sum, node) => sum + node.gpus, 0),
      gpuType: 'mixed',
      gpuMemoryMiB: null,
      policy: {
        kinds: ['train'],
        labIds: null,
        consortium: true,
        gpusPerJobMax: null,
        secondsPerJobMax: null,
        hoursUtc: null,
      },
    },
    busyGpus: {},
    nodes: floor,
  };
}

function jobOf(pod: OpenbPod, number: number): WaitingJob {
  return {
    jobId: String(number),
    kind: 'train',
    owner: 'trace',
    gpus: pod.gpus,
    gpuType: null,
    gpuMemoryMiB: null,
    maxSeconds: Number.MAX_SAFE_INTEGER,
    gpuShareMilli: pod.gpuShareMilli,
    cpuMilli: pod.cpuMilli,
    memoryMiB: pod.memoryMiB,
    gpuTypes: pod.gpuTypes,
    priority: 0,
    submittedMs: number,
    retryAtMs: null,
    avoid: [],
  };
}
