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
  /** GPUs of live attempts by whose share they run on. */
  readonly busyGpus: Readonly<Record<Owner, number>>;
}

/** What placement needs to know of a job. */
export interface JobRequest {
  readonly kind: JobKind;
  readonly owner: Owner;
  readonly gpus: number;
  readonly gpuType: string | null;
  readonly gpuMemoryMiB: number | null;
  readonly maxSeconds: number;
}

export interface WaitingJob extends JobRequest {
  readonly jobId: string;
  readonly priority: number;
  readonly submittedMs: number;
  /** Null, or the time before which it is not tried again. */
  readonly retryAtMs: number | null;
  /** Clusters that declined it lately. */
  readonly avoid: readonly string[];
}

export interface OwnerUse {
  readonly owner: Owner;
  /** GPUs that it may count on. */
  readonly entitledGpus: number;
  /** GPU-seconds used lately, decayed. */
  readonly recentGpuSeconds: number;
}

/** Everything a decision depends on, beside the time and the seed. */
export interface Snapshot {
  readonly clusters: readonly SnapshotCluster[];
  readonly waiting: readonly WaitingJob[];
  readonly owners: readonly OwnerUse[];
}
