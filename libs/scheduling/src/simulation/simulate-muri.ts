import { decide } from '../domain/decide.js';
import type { Decisions } from '../domain/decisions.js';
import { tiresiasLimitsGpuSeconds, tiresiasQueue } from '../domain/order/ranks.js';
import type { Rank } from '../domain/policy.js';
import type {
  NodeShare,
  RunningJob,
  Snapshot,
  SnapshotCluster,
  SnapshotNode,
  WaitingJob,
} from '../domain/snapshot.js';
import { type SimulationReport, timesOf } from './metrics.js';
import type { MuriCluster, MuriJob, RestartOverheads } from './read-muri.js';

const wholeGpuMilli = 1000;
/** Where the table of overheads has no entry. */
const overheadSecondsElse = 10;

/**
 * Replays a trace as the simulator of Muri (SIGCOMM'22) does, with `decide` in place of its scheduler. At every event,
 * an arrival or an end, every running job first pays its restart overhead, whether it was disturbed or not, and then
 * has progressed by what is left of the time since the event before; then `decide` is asked.
 */
export function simulateMuri(
  jobs: readonly MuriJob[],
  cluster: MuriCluster,
  overheads: RestartOverheads,
  rank: Rank,
  seed: number,
  onProgress: (finishedJobs: number) => void = () => undefined,
): SimulationReport {
  return new MuriReplay(jobs, cluster, overheads, rank, seed).run(onProgress);
}

/** A job of the trace, as `decide` sees it while it waits and while it runs. */
class ReplayedJob implements WaitingJob, RunningJob {
  readonly kind = 'train';
  readonly owner = 'trace';
  readonly gpuType = null;
  readonly gpuMemoryMiB = null;
  readonly maxSeconds = Number.MAX_SAFE_INTEGER;
  readonly priority = 0;
  readonly retryAtMs = null;
  readonly avoid: readonly string[] = [];
  readonly jobId: string;
  readonly gpus: number;
  readonly submittedMs: number;
  attempt = 0;
  startedMs = 0;
  clusterId = '';
  on: readonly NodeShare[] = [];
  iterationsLeft: number;
  remainingSeconds: number;
  attainedSeconds = 0;
  /** Its queue under Tiresias, and its place there. */
  queue = 0;
  place = 0;
  /** When its progress was last reckoned. */
  checkedSeconds: number;
  /** Where it stands in the list of waiting or of running jobs. */
  index = 0;

  constructor(
    readonly traced: MuriJob,
    number: number,
    readonly overheadSeconds: number,
  ) {
    // Text of equal length: ties go by id, and so by the order in the trace.
    this.jobId = String(number).padStart(8, '0');
    this.gpus = traced.gpus;
    this.submittedMs = traced.submittedSeconds * 1000;
    this.checkedSeconds = traced.submittedSeconds;
    this.iterationsLeft = traced.iterations;
    this.remainingSeconds = this.iterationsLeft * traced.secondsPerIteration;
  }

  get attainedGpuSeconds(): number {
    return this.attainedSeconds * this.gpus;
  }

  advance(nowSeconds: number): void {
    const passed = nowSeconds - this.checkedSeconds;
    this.iterationsLeft -= Math.max(passed - this.overheadSeconds, 0) / this.traced.secondsPerIteration;
    this.remainingSeconds = this.iterationsLeft * this.traced.secondsPerIteration;
    this.attainedSeconds = this.attainedSeconds + nowSeconds - this.checkedSeconds;
    this.checkedSeconds = nowSeconds;
  }
}

class MuriReplay {
  private readonly arrivals: readonly ReplayedJob[];
  private arrived = 0;
  private readonly waiting: ReplayedJob[] = [];
  private readonly running: ReplayedJob[] = [];
  private readonly clusters: readonly SnapshotCluster[];
  private readonly line: TiresiasLine | null;
  private readonly gpus: number;
  private nowSeconds = 0;
  private readonly finished: Record<'submittedSeconds' | 'endedSeconds' | 'durationSeconds', number[]> = {
    submittedSeconds: [],
    endedSeconds: [],
    durationSeconds: [],
  };
  private preemptions = 0;
  private heldGpuSeconds = 0;
  private usedGpuSeconds = 0;

  constructor(
    jobs: readonly MuriJob[],
    cluster: MuriCluster,
    overheads: RestartOverheads,
    private readonly rank: Rank,
    private readonly seed: number,
  ) {
    this.arrivals = jobs.map((job, number) => {
      const overhead = overheads[job.gpus]?.[job.model] ?? overheadSecondsElse;
      return new ReplayedJob(job, number, overhead);
    });
    this.gpus = cluster.switches * cluster.nodesPerSwitch * cluster.gpusPerNode;
    // Tiresias counts GPUs and never asks where they are.
    this.line = rank === 'tiresias' ? new TiresiasLine() : null;
    this.clusters = rank === 'tiresias' ? [clusterOf('pool', this.gpus)] : switches(cluster);
  }

  run(onProgress: (finishedJobs: number) => void): SimulationReport {
    while (this.arrived < this.arrivals.length || this.running.length > 0) {
      this.step();
      onProgress(this.finished.endedSeconds.length);
    }
    if (this.waiting.length > 0) throw new Error(`${this.waiting.length} jobs were never started`);
    const times = timesOf(this.finished);
    return {
      ...times,
      utilisation: this.heldGpuSeconds / (this.gpus * times.makespan_s),
      preemptions: this.preemptions,
      lost_gpu_s: this.heldGpuSeconds - this.usedGpuSeconds,
      labs: {},
      labs_worse_off: 0,
    };
  }

  private step(): void {
    const arrivalSeconds = this.arrivals[this.arrived]?.traced.submittedSeconds ?? Number.POSITIVE_INFINITY;
    let endSeconds = Number.POSITIVE_INFINITY;
    for (const job of this.running) endSeconds = Math.min(endSeconds, this.nowSeconds + job.remainingSeconds);
    const jumpSeconds = this.line?.nextJumpSeconds(this.running, this.nowSeconds) ?? Number.POSITIVE_INFINITY;
    const eventSeconds = Math.min(arrivalSeconds, endSeconds, jumpSeconds);
    if (endSeconds === eventSeconds) this.endJobs(eventSeconds);
    this.nowSeconds = eventSeconds;
    for (const job of this.running) {
      this.heldGpuSeconds += (eventSeconds - job.checkedSeconds) * job.gpus;
      job.advance(eventSeconds);
    }
    if (arrivalSeconds === eventSeconds) this.admitJobs(eventSeconds);
    this.line?.demote(this.running);
    this.apply(
      decide(this.snapshot(), eventSeconds * 1000, this.seed, { kind: 'preemptive-order', rank: this.rank }),
    );
  }

  /** Ends the running jobs that have nothing left at that time. */
  private endJobs(eventSeconds: number): void {
    for (const job of this.running.filter((one) => this.nowSeconds + one.remainingSeconds === eventSeconds)) {
      this.heldGpuSeconds += (eventSeconds - job.checkedSeconds) * job.gpus;
      const durationSeconds = job.traced.iterations * job.traced.secondsPerIteration;
      this.usedGpuSeconds += durationSeconds * job.gpus;
      this.finished.submittedSeconds.push(job.traced.submittedSeconds);
      this.finished.endedSeconds.push(eventSeconds);
      this.finished.durationSeconds.push(durationSeconds);
      remove(this.running, job);
    }
  }

  private admitJobs(eventSeconds: number): void {
    for (
      let job = this.arrivals[this.arrived];
      job !== undefined && job.traced.submittedSeconds === eventSeconds;
      job = this.arrivals[this.arrived]
    ) {
      this.arrived++;
      append(this.waiting, job);
      this.line?.enter(job, 0);
    }
  }

  private snapshot(): Snapshot {
    const clusters = this.clusters.map((cluster) => {
      const running =
        this.clusters.length === 1
          ? this.running
          : this.running.filter((job) => job.clusterId === cluster.clusterId);
      return cluster.nodes === undefined
        ? { ...cluster, running }
        : { ...cluster, running, nodes: occupied(cluster.nodes, running) };
    });
    return { clusters, waiting: this.waiting, owners: [] };
  }

  private apply({ place, preempt, move }: Decisions): void {
    const byId = (jobId: string) => this.arrivals[Number(jobId)] as ReplayedJob;
    const preempted = preempt.map(({ jobId }) => byId(jobId));
    for (const job of preempted) {
      this.preemptions++;
      remove(this.running, job);
      append(this.waiting, job);
    }
    for (const { jobId, clusterId, nodes } of place) {
      const job = byId(jobId);
      job.attempt++;
      job.startedMs = this.nowSeconds * 1000;
      job.checkedSeconds = this.nowSeconds;
      job.clusterId = clusterId;
      job.on = nodes ?? [];
      remove(this.waiting, job);
      append(this.running, job);
    }
    for (const { jobId, clusterId, nodes } of move) {
      const job = byId(jobId);
      job.clusterId = clusterId;
      job.on = nodes ?? [];
    }
    this.line?.close(this.running, preempted);
  }
}

/** Longer than any line: places of running jobs are below it, those of waiting ones above. */
const longestLine = 2 ** 40;

/**
 * The lines of Tiresias as the simulator of Muri keeps them: in each queue, jobs that run stand before those that
 * wait, otherwise as they stood; who enters a queue stands last. Only jobs that changed are touched.
 */
class TiresiasLine {
  /** Places for those who come to stand last of the running, last of the waiting, and first of the waiting. */
  private lastRunning = 0;
  private lastWaiting = 2 * longestLine;
  private firstWaiting = 2 * longestLine;

  enter(job: ReplayedJob, queue: number): void {
    job.queue = queue;
    job.place = this.lastWaiting++;
  }

  /** When the first running job will have had what moves it down. */
  nextJumpSeconds(running: readonly ReplayedJob[], nowSeconds: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const job of running) {
      const limit = tiresiasLimitsGpuSeconds[job.queue];
      if (limit === undefined) continue;
      next = Math.min(next, Math.ceil(limit / job.gpus) - job.attainedSeconds + nowSeconds);
    }
    return next;
  }

  demote(running: readonly ReplayedJob[]): void {
    const lower = running.filter((job) => tiresiasQueue(job.attainedGpuSeconds) > job.queue);
    for (const job of lower.sort((a, b) => (a.jobId < b.jobId ? -1 : 1)))
      this.enter(job, tiresiasQueue(job.attainedGpuSeconds));
  }

  /** After a decision: those who run now, and those who have just been preempted. */
  close(running: readonly ReplayedJob[], preempted: readonly ReplayedJob[]): void {
    const ahead = running.filter((job) => job.place >= longestLine).sort(byPlace);
    for (const job of ahead) job.place = this.lastRunning++;
    const back = preempted.filter((job) => job.place < longestLine).sort(byPlace);
    this.firstWaiting -= back.length;
    for (const [at, job] of back.entries()) job.place = this.firstWaiting + at;
  }
}

function byPlace(a: ReplayedJob, b: ReplayedJob): number {
  return a.place - b.place;
}

const policyOfAll = {
  kinds: ['train'],
  labIds: null,
  consortium: true,
  gpusPerJobMax: null,
  secondsPerJobMax: null,
  hoursUtc: null,
} as const;

function clusterOf(clusterId: string, gpus: number): SnapshotCluster {
  const capacity = { gpus, gpuType: 'any', gpuMemoryMiB: null, policy: policyOfAll };
  return { clusterId, name: clusterId, labId: 'trace', state: 'active', capacity, busyGpus: {} };
}

function switches(cluster: MuriCluster): SnapshotCluster[] {
  const { switches: count, nodesPerSwitch, gpusPerNode } = cluster;
  return Array.from({ length: count }, (_, at) => ({
    ...clusterOf(`switch-${at}`, nodesPerSwitch * gpusPerNode),
    nodes: Array.from({ length: nodesPerSwitch }, (_, node) => ({
      nodeId: `switch-${at}/node-${node}`,
      gpuType: null,
      freeGpuMilli: Array.from({ length: gpusPerNode }, () => wholeGpuMilli),
      freeCpuMilli: 0,
      freeMemoryMiB: 0,
    })),
  }));
}

/** The nodes as an agent reports them while these jobs run. */
function occupied(nodes: readonly SnapshotNode[], running: readonly ReplayedJob[]): SnapshotNode[] {
  const free = new Map(nodes.map((node) => [node.nodeId, [...node.freeGpuMilli]]));
  for (const job of running)
    for (const { nodeId, gpus } of job.on) for (const gpu of gpus) free.get(nodeId)?.fill(0, gpu, gpu + 1);
  return nodes.map((node) => ({ ...node, freeGpuMilli: free.get(node.nodeId) ?? [] }));
}

/** Lists whose order says nothing: a job leaves by giving its place to the last. */
function append(list: ReplayedJob[], job: ReplayedJob): void {
  job.index = list.length;
  list.push(job);
}

function remove(list: ReplayedJob[], job: ReplayedJob): void {
  const last = list.pop();
  if (last === undefined || last === job) return;
  list[job.index] = last;
  last.index = job.index;
}
