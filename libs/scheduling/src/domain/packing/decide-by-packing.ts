import type { Decisions, Placement } from '../decisions.js';
import type { JobRequest, Snapshot, SnapshotNode, WaitingJob } from '../snapshot.js';
import { Fragmentation } from './fragmentation.js';
import { drawBelow } from './lot.js';
import { fits, occupy, shareOf, shareOn, tightestGpus, wholeGpuMilli } from './node-fit.js';
import { gpusFor, type PackingScore, scoreOf } from './scores.js';
import type { Ask } from './workload.js';

/**
 * Waiting jobs one after the other, higher priority and then the older first, each on the node that scores best; the
 * first among equals. A job goes to some node whenever one fits: nothing is kept free. For clusters that report nodes.
 */
export function decideByPacking(
  snapshot: Snapshot,
  seed: number,
  score: PackingScore,
  workload: readonly Ask[],
): Decisions {
  const clusters = snapshot.clusters
    .filter((cluster) => cluster.state === 'active')
    .map(({ clusterId, nodes = [] }) => ({ clusterId, nodes: [...nodes] }));
  const place: Placement[] = [];
  const jobs = snapshot.waiting.length < 2 ? snapshot.waiting : [...snapshot.waiting].sort(inOrder);
  for (const job of jobs) {
    const rater = score === 'random' ? null : raterOf(score, workload);
    const spot = rater === null ? drawn(clusters, job, seed) : best(clusters, job, rater);
    if (spot === undefined) continue;
    const { cluster, at, gpus } = spot;
    const node = cluster.nodes[at] as SnapshotNode;
    cluster.nodes[at] = occupy(node, job, gpus);
    place.push({ jobId: job.jobId, clusterId: cluster.clusterId, nodes: [shareOn(node, job, gpus)] });
  }
  return { place, preempt: [], move: [], shadow: [] };
}

interface Nodes {
  readonly clusterId: string;
  readonly nodes: SnapshotNode[];
}

interface Spot {
  readonly cluster: Nodes;
  readonly at: number;
  readonly gpus: readonly number[];
}

function inOrder(a: WaitingJob, b: WaitingJob): number {
  return b.priority - a.priority || a.submittedMs - b.submittedMs || (a.jobId < b.jobId ? -1 : 1);
}

function best(clusters: readonly Nodes[], job: JobRequest, rater: Rater): Spot | undefined {
  const ratings = rater.ratingsFor(job);
  let found: { cluster: Nodes; at: number } | undefined;
  let score = Number.NEGATIVE_INFINITY;
  let position = 0;
  for (const cluster of clusters) {
    for (let at = 0; at < cluster.nodes.length; at++) {
      const rating = ratings.of(cluster.nodes[at] as SnapshotNode, position++);
      if (rating <= score) continue;
      score = rating;
      found = { cluster, at };
    }
  }
  if (found === undefined) return undefined;
  return { ...found, gpus: rater.gpusFor(found.cluster.nodes[found.at] as SnapshotNode, job) };
}

/** A node by lot, and for a shared job one of its GPUs by lot. */
function drawn(clusters: readonly Nodes[], job: WaitingJob, seed: number): Spot | undefined {
  const able: { cluster: Nodes; at: number }[] = [];
  for (const cluster of clusters) {
    const { nodes } = cluster;
    for (let at = 0; at < nodes.length; at++)
      if (fits(nodes[at] as SnapshotNode, job)) able.push({ cluster, at });
  }
  const chosen = able[drawBelow(able.length, `${seed}/${job.jobId}/node`)];
  const node = chosen?.cluster.nodes[chosen.at];
  if (chosen === undefined || node === undefined) return undefined;
  if (job.gpus !== 1 || shareOf(job) === wholeGpuMilli) return { ...chosen, gpus: tightestGpus(node, job) };
  const gpus = [...node.freeGpuMilli.keys()].filter((gpu) => (node.freeGpuMilli[gpu] ?? 0) >= shareOf(job));
  const gpu = gpus[drawBelow(gpus.length, `${seed}/${job.jobId}/gpu`)];
  return gpu === undefined ? undefined : { ...chosen, gpus: [gpu] };
}

/** Scores nodes, and remembers for each kind of job what it gave to which node: few change between two decisions. */
class Rater {
  private readonly known = new Map<string, Ratings>();
  private readonly fragmentation: Fragmentation;

  constructor(
    private readonly score: Exclude<PackingScore, 'random'>,
    workload: readonly Ask[],
  ) {
    this.fragmentation = new Fragmentation(workload);
  }

  ratingsFor(job: JobRequest): Ratings {
    const types = (job.gpuTypes ?? [job.gpuType ?? '']).join('|');
    const key = `${job.cpuMilli ?? 0}/${job.memoryMiB ?? 0}/${job.gpus}/${shareOf(job)}/${types}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    if (this.known.size >= kindsRememberedMax) this.known.clear();
    const ratings = new Ratings((node) =>
      fits(node, job) ? scoreOf(this.score, node, job, this.fragmentation) : Number.NEGATIVE_INFINITY,
    );
    this.known.set(key, ratings);
    return ratings;
  }

  gpusFor(node: SnapshotNode, job: JobRequest): number[] {
    return gpusFor(this.score, node, job, this.fragmentation);
  }
}

/** What one kind of job makes of the nodes, by their position; a node that was replaced by another is rated anew. */
class Ratings {
  private readonly nodes: SnapshotNode[] = [];
  private readonly ratings: number[] = [];

  constructor(private readonly rate: (node: SnapshotNode) => number) {}

  of(node: SnapshotNode, position: number): number {
    if (this.nodes[position] !== node) {
      this.nodes[position] = node;
      this.ratings[position] = this.rate(node);
    }
    return this.ratings[position] as number;
  }
}

const kindsRememberedMax = 2_000;

const raters = new WeakMap<readonly Ask[], Map<PackingScore, Rater>>();

/** Memory of pure results only: it changes how fast the answer comes, never the answer. */
function raterOf(score: Exclude<PackingScore, 'random'>, workload: readonly Ask[]): Rater {
  const ofWorkload = raters.get(workload) ?? new Map<PackingScore, Rater>();
  raters.set(workload, ofWorkload);
  const known = ofWorkload.get(score) ?? new Rater(score, workload);
  ofWorkload.set(score, known);
  return known;
}
