import type { NodeShare } from './snapshot.js';

export interface Placement {
  readonly jobId: string;
  readonly clusterId: string;
  /** With how many of the GPUs that it asks for, for an elastic job; absent: with all. */
  readonly gpus?: number;
  /** Keys of the quotas of GPUs under which the job stands; absent: none. */
  readonly quotas?: readonly string[];
  /** Which of the cluster's shared GPUs, for a job that asks for a part of one: the same number is the same GPU. */
  readonly gpuSlot?: number;
  /** Which GPUs of which nodes, where the cluster reports its nodes. */
  readonly nodes?: readonly NodeShare[];
}

/** A running attempt that is to give its GPUs back. */
export interface Preemption {
  readonly jobId: string;
  readonly attempt: number;
  readonly reason: string;
}

/** A running attempt that goes on, on other GPUs. */
export interface Move extends Placement {
  readonly attempt: number;
}

/** A job's new standing in the schedule that its lab would have had alone. */
export interface ShadowMove {
  readonly jobId: string;
  /** It has no further place there: it has had what it took, or its lab alone could never run it. */
  readonly ended: boolean;
  readonly clusterId: string | null;
  readonly startedMs: number | null;
  readonly servedMs: number;
  /** It had no place there before: under a quota of GPUs it has one only from when it starts. */
  readonly enters?: boolean;
}

export interface Decisions {
  readonly place: readonly Placement[];
  readonly preempt: readonly Preemption[];
  readonly move: readonly Move[];
  readonly shadow: readonly ShadowMove[];
}
