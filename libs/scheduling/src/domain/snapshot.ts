import type { ClusterState } from './cluster-lifecycle.js';

export type JobKind = 'train' | 'serve' | 'infer' | 'capture' | 'evaluate' | 'command';

/** Whose share a job runs on: a lab's id, or the consortium's for suites that a round adopted. */
export type Owner = string;
export const consortium: Owner = 'consortium';

export interface ClusterPolicy {
  readonly kinds: readonly JobKind[];
  /** Null: every lab. */
  readonly labIds: readonly string[] | null;
  readonly consortium: boolean;
  readonly gpusPerJobMax: number | null;
  readonly secondsPerJobMax: number | null;
  readonly hoursUtc: { readonly from: number; readonly to: number } | null;
  /** So many jobs may share a GPU; absent: its GPUs are not shared. */
  readonly gpuParts?: number | undefined;
}

/** A machine of a cluster, where the agent reports its machines. */
export interface SnapshotNode {
  readonly nodeId: string;
  readonly gpuType: string | null;
  /** What is free on each of its GPUs; 1000 is a whole one. */
  readonly freeGpuMilli: readonly number[];
  readonly freeCpuMilli: number;
  readonly freeMemoryMiB: number;
  /** GPUs that each job on it asked for in all, in thousandths; jobs without GPUs left out. */
  readonly guestsGpuMilli?: readonly number[];
}

/** GPUs of one node, by their index, and how much of each. */
export interface NodeShare {
  readonly nodeId: string;
  readonly gpus: readonly number[];
  readonly gpuShareMilli: number;
}

export interface SnapshotCluster {
  readonly clusterId: string;
  readonly name: string;
  readonly labId: string;
  readonly state: ClusterState;
  /** Null until an agent has said what there is. */
  readonly capacity: {
    readonly gpus: number;
    readonly gpuType: string;
    readonly gpuMemoryMiB: number | null;
    readonly policy: ClusterPolicy;
  } | null;
  /** GPUs of live attempts by whose share they run on; a part of a GPU counts as that part. */
  readonly busyGpus: Readonly<Record<Owner, number>>;
  /** Live attempts on it; what is busy without standing here cannot be asked to leave. */
  readonly running?: readonly RunningJob[];
  /** Its agent has said which inputs it keeps for later jobs; absent: it keeps none. */
  readonly keepsInputs?: boolean;
  /** Absent: only the cluster as a whole is known. */
  readonly nodes?: readonly SnapshotNode[];
}

/** What placement needs to know of a job. */
export interface JobRequest {
  readonly kind: JobKind;
  readonly owner: Owner;
  /** Of an elastic job the fewest that it runs with; of a running one those that it has. */
  readonly gpus: number;
  /** An elastic job runs with up to so many, see `sizesOf`; absent: with exactly `gpus`. */
  readonly gpusMost?: number;
  readonly gpuType: string | null;
  readonly gpuMemoryMiB: number | null;
  /** With all its GPUs, as all that a job has had: see `timeWithAll`. */
  readonly maxSeconds: number;
  /** Model of which it is a replica: two do not stand in one cluster where it can be helped. Absent: of none. */
  readonly replicaOf?: string;
  /** How much of each of its GPUs, in thousandths; absent: whole ones. Only a job of one GPU may share it. */
  readonly gpuShareMilli?: number;
  readonly cpuMilli?: number;
  readonly memoryMiB?: number;
  /** Any of these types of GPU; absent: as `gpuType` says. */
  readonly gpuTypes?: readonly string[];
  /** Run time that is left. Only a simulation knows it, for baselines that know the future. */
  readonly remainingSeconds?: number;
  /** GPU-seconds that it has had, over all its attempts. */
  readonly attainedGpuSeconds?: number;
  /** Its place in the line that a baseline with queues keeps; less is earlier. */
  readonly place?: number;
}

/** Where a job stands in the schedule that its lab would have had alone. */
export interface SnapshotShadow {
  /** Cluster of the lab in which it would be running; null while it would wait. */
  readonly clusterId: string | null;
  /** Since when it would be running there. */
  readonly startedMs: number | null;
  /** What it had there before that, ms. */
  readonly servedMs: number;
}

/**
 * A job that stands in the schedule of its lab alone and is not in the snapshot otherwise: it has ended, or waits
 * where no decision looks yet.
 */
export interface LoneShadow extends SnapshotShadow {
  readonly jobId: string;
  readonly owner: Owner;
  readonly gpus: number;
  /** Of an elastic job: how many it asks for. */
  readonly gpusMost?: number;
  readonly submittedMs: number;
  /** What it really took, ms; null while it has not ended. */
  readonly totalMs: number | null;
  /** Keys of the snapshot's quotas under which it stands; absent: none. */
  readonly quotas?: readonly string[];
}

export interface RunningJob extends JobRequest {
  readonly jobId: string;
  readonly attempt: number;
  readonly submittedMs: number;
  /** When its attempt got its GPUs. */
  readonly startedMs: number;
  readonly priority?: number;
  /** Running time of its earlier attempts that was not lost, ms; absent: none. */
  readonly servedMs?: number;
  /** When the state was saved from which another attempt would go on; absent: not since the start. */
  readonly savedMs?: number;
  /** Whether it can be asked to leave; absent: it cannot. */
  readonly preemptible?: boolean;
  /** It has been asked to leave, and will. */
  readonly leaving?: boolean;
  readonly shadow?: SnapshotShadow;
  /** Number of the shared GPU of its cluster that it has a part of; absent: it has its GPUs to itself. */
  readonly gpuSlot?: number;
  /** Of an elastic job: the fewest GPUs that it runs with. */
  readonly gpusLeast?: number;
  /** Keys of the snapshot's quotas under which an elastic job could go on with more GPUs; absent: none. */
  readonly quotas?: readonly string[];
  /** Where it runs, where that is known. */
  readonly on?: readonly NodeShare[];
}

export interface WaitingJob extends JobRequest {
  /** Since when it waits this time; absent: since it was submitted. */
  readonly queuedMs?: number;
  /** Running time of its earlier attempts that was not lost, ms; absent: none. */
  readonly servedMs?: number;
  /** Whether it can be asked to leave once it runs; absent: it cannot. */
  readonly preemptible?: boolean;
  readonly shadow?: SnapshotShadow;
  readonly jobId: string;
  readonly priority: number;
  readonly submittedMs: number;
  /** Null, or the time before which it is not tried again. */
  readonly retryAtMs: number | null;
  /** Clusters that declined it lately. */
  readonly avoid: readonly string[];
  /** Keys of the snapshot's quotas under which it stands; absent: none. */
  readonly quotas?: readonly string[];
  /** Bytes of its inputs, and of the state from which it goes on, that lie at clusters already; absent: not known. */
  readonly cachedBytes?: Readonly<Record<string, number>>;
}

/** How many GPUs the running jobs of a lab, a person or a project may hold at the same time. */
export interface GpuQuota {
  readonly key: string;
  readonly gpus: number;
  /** GPUs of the live attempts under it; more than `gpus` when it was lowered. */
  readonly usedGpus: number;
}

export interface OwnerUse {
  readonly owner: Owner;
  /** GPUs that it may count on. */
  readonly entitledGpus: number;
  /** GPU-seconds used lately, decayed. */
  readonly recentGpuSeconds: number;
  /** GPU-seconds lent to others less those borrowed, decayed. */
  readonly creditGpuSeconds: number;
}

/** Everything a decision depends on, beside the time and the seed. */
export interface Snapshot {
  readonly clusters: readonly SnapshotCluster[];
  readonly waiting: readonly WaitingJob[];
  readonly owners: readonly OwnerUse[];
  /** Absent: none. */
  readonly loneShadows?: readonly LoneShadow[];
  /** Quotas of GPUs; absent: none. */
  readonly quotas?: readonly GpuQuota[];
}
