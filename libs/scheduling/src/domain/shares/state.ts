import { timeWithAll, timeWithSome } from '../elastic.js';
import { leastEntitledGpus } from '../entitlements.js';
import type { JobRequest, Owner, SnapshotCluster } from '../snapshot.js';
import type { BinaryHeap } from './binary-heap.js';
import type { RunningJobs } from './running-jobs.js';
import type { SharedGpus } from './shared-gpus.js';

/** A quota of GPUs as a decision uses it up. */
export interface Cap {
  readonly key: string;
  readonly gpus: number;
  /** GPUs that may still start; below 0 when the quota was lowered. */
  left: number;
  /** A job that has waited long for room under it: what has a later turn does not take that room. */
  keptFor: JobNow | null;
}

/** Jobs that the same clusters take, for the same owner, with as many GPUs, under the same quotas. */
export interface Shape {
  readonly request: JobRequest;
  /** Quotas of GPUs under which such jobs stand. */
  readonly caps: readonly Cap[];
  /** Clusters that take such jobs now, the owner's own first. */
  reach: ClusterNow[];
  /** Such clusters that are the owner's own. */
  home: ClusterNow[];
  /** A number for the clusters in reach, the same for shapes with the same. */
  reachId: number;
  /** Waiting jobs by level. */
  readonly waiting: number[];
  /** Whether its lab alone could run it; undefined until somebody asks. */
  isAtHome: boolean | undefined;
}

/** A cluster as it changes. */
export interface ClusterNow {
  readonly index: number;
  info: SnapshotCluster;
  gpus: number;
  /** GPUs that nobody has, not even a part of. */
  free: number;
  readonly shared: SharedGpus;
  /** What is left of the last GPU that was claimed in the present decision for jobs that share one. */
  claimedShareMilli: number;
  /** GPUs of jobs that have been asked to leave. */
  leavingGpus: number;
  readonly running: RunningJobs<JobNow>;
  /** GPUs set aside in the present decision for those whose turn came earlier, of what is being vacated. */
  claimedGpus: number;
  /** GPUs that elastic jobs which start in the present decision may yet get, beside the fewest that they have. */
  hopedGpus: number;
  /** GPUs kept free in the present decision for a gang, and when it would have them at the latest. */
  reservedGpus: number;
  reservedFromMs: number;
}

export interface OwnerNow {
  readonly owner: Owner;
  entitledGpus: number;
  recentGpuSeconds: number;
  creditGpuSeconds: number;
  runningGpus: number;
  /** GPUs that it runs for each that it is entitled to. */
  load: number;
  /** Waiting jobs by level. */
  readonly queues: Queue[];
}

/** Waiting jobs of one owner and level, each shape in its order. */
export interface Queue {
  readonly shapes: Map<Shape, BinaryHeap<Ticket>>;
  size: number;
}

/** A place in a queue; void as soon as the job has another one, or runs. */
export interface Ticket {
  readonly job: JobNow;
  readonly number: number;
}

/** A job as it changes. */
export interface JobNow {
  readonly jobId: string;
  /** Whatever the caller numbers its jobs by. */
  readonly index: number;
  readonly shape: Shape;
  /** GPUs that it holds, or while it waits asks for at least, as its shape says. */
  gpus: number;
  /** GPUs that it asks for: more than at least of an elastic job. */
  readonly gpusMost: number;
  /** How much of its GPU it asks for, in thousandths: 1000 for whole ones. */
  readonly shareMilli: number;
  /** Number of the shared GPU that it has a part of; null: it has its GPUs to itself, or none. */
  slot: number | null;
  readonly ownerNow: OwnerNow;
  readonly priority: number;
  readonly submittedMs: number;
  readonly preemptible: boolean;
  /** Running time before the present attempt, as with all its GPUs. */
  servedMs: number;
  queuedMs: number;
  retryAtMs: number | null;
  avoid: readonly string[];
  /** Model of which it is a replica; null: of none. */
  readonly replicaOf: string | null;
  /** Bytes of its inputs by the cluster where they lie; null: not known. */
  readonly cachedBytes: Readonly<Record<string, number>> | null;
  /** Levels that it was raised for having waited long. */
  raisedLevels: number;
  level: number;
  /** Counts its places in queues; 0 while it runs. */
  ticket: number;
  attempt: number;
  startedMs: number;
  /** When its state was last saved, or, with `savesEveryMs`, since when it saves at that rhythm. */
  savedMs: number;
  readonly savesEveryMs: number | null;
  cluster: ClusterNow | null;
  /** Its place among what runs in its cluster; that keeps it. */
  at: number;
  leaving: boolean;
  /** It has no more than it would have had at home: nobody may ask it to leave. */
  isProtected: boolean;
  /** Counts its starts, to know outdated notes about it. */
  starts: number;
  shadow: ShadowJob | null;
}

/**
 * One job in the schedule that a lab would have had alone. `servedMs` is what it had before it was last started there;
 * `totalMs` is what it needs, known only once it has really ended.
 */
export interface ShadowJob {
  readonly jobId: string;
  /** Of an elastic job the fewest: its lab alone could have begun it as soon as it had these. */
  readonly gpus: number;
  /** GPUs that it asks for; what it has had is counted as with all of them. */
  readonly gpusMost: number;
  readonly queuedMs: number;
  servedMs: number;
  startedMs: number | null;
  totalMs: number | null;
  /** When it will end there, once that is known. */
  endsMs: number | null;
  /** Cluster of the lab that it would be running in. */
  clusterId: string | null;
  ended: boolean;
  /** The real one, while it waits or runs. */
  real: JobNow | null;
}

/** Service that a job has had by now, ms, as with all its GPUs. */
export function servedMsOf(job: JobNow, nowMs: number): number {
  if (job.cluster === null) return job.servedMs;
  return job.servedMs + timeWithAll(Math.max(0, nowMs - job.startedMs), job.gpus, job.gpusMost);
}

/** How long its present attempt, or one that starts now, can go on at most by its time bound, ms. */
export function attemptMsMost({ shape, servedMs, gpus, gpusMost }: JobNow): number {
  return timeWithSome(shape.request.maxSeconds * 1000 - servedMs, gpus, gpusMost);
}

/** Whether of two waiting jobs of one owner and level one has the earlier turn. */
export function isEarlier(a: JobNow, b: JobNow): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if (a.submittedMs !== b.submittedMs) return a.submittedMs < b.submittedMs;
  return a.jobId < b.jobId;
}

/** Less running for what it is entitled to; among equals, more credit. */
export function hasBetterClaim(a: OwnerNow, b: OwnerNow): boolean {
  if (a.load !== b.load) return a.load < b.load;
  const p = a.creditGpuSeconds / Math.max(a.entitledGpus, leastEntitledGpus);
  const q = b.creditGpuSeconds / Math.max(b.entitledGpus, leastEntitledGpus);
  if (p !== q) return p > q;
  return a.owner < b.owner;
}

/** An owner runs so many GPUs more, or fewer. */
export function countRunning(owner: OwnerNow, gpus: number): void {
  owner.runningGpus += gpus;
  owner.load = owner.runningGpus / Math.max(owner.entitledGpus, leastEntitledGpus);
}
