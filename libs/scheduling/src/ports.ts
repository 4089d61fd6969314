import type { FileEntry, GpuAccountRef, ProblemCode } from '@beamtime/contracts';
import type { ClusterId, JobId, LabId, Problem, Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';

/**
 * What scheduling asks of others. The app joins each port to the context that has the answer; every call happens
 * inside the caller's transaction, so that a job and its hold exist together or not at all.
 */

/** The ledger's side of jobs. Both calls may be repeated: a job's id makes them idempotent. */
export interface GpuAccounts {
  /** Sets GPU-seconds aside before the first offer; an account that cannot cover them refuses. */
  hold(tx: Tx, hold: GpuHold): Promise<Result<void, Problem<ProblemCode>>>;
  /** Books what each of these jobs used and gives back the rest, once, when it has ended. */
  settleAll(
    tx: Tx,
    settled: readonly { readonly jobId: JobId; readonly usedGpuSeconds: number }[],
  ): Promise<void>;
}
export interface GpuHold {
  readonly jobId: JobId;
  readonly account: GpuAccountRef;
  readonly gpuSeconds: number;
}
export const GPU_ACCOUNTS = Symbol('GpuAccounts');

/** Keys by which agents authenticate. */
export interface AgentKeys {
  /** A new key for the cluster's agent, in clear only now. */
  issue(tx: Tx, wanted: AgentKeyWish): Promise<string>;
  revokeAll(tx: Tx, clusterId: ClusterId, actor: string): Promise<void>;
}
export interface AgentKeyWish {
  readonly clusterId: ClusterId;
  readonly labId: LabId;
  readonly name: string;
  readonly actor: string;
}
export const AGENT_KEYS = Symbol('AgentKeys');

/** What scheduling needs of the object store. */
export interface JobFiles {
  /** Size and, where known, digest of an object; null when there is none. */
  find(objectKey: string): Promise<{ readonly sizeBytes: number; readonly sha256: string | null } | null>;
  downloadUrl(objectKey: string): Promise<string>;
  uploadUrl(
    objectKey: string,
    file: { readonly sha256: string; readonly sizeBytes: number },
  ): Promise<{ readonly url: string; readonly headers: Readonly<Record<string, string>> }>;
}
export const JOB_FILES = Symbol('JobFiles');

/** Times of the lease protocol; see `lease-times.ts`. */
export interface LeaseTimes {
  readonly leaseTtlMs: number;
  /** Clocks and networks differ: the server waits so much longer than the lease before it re-queues. */
  readonly skewMs: number;
  readonly offerTtlMs: number;
  readonly longPollMs: number;
  readonly pollIntervalMs: number;
  readonly stopMarginMs: number;
  readonly downAfterMs: number;
}
export const LEASE_TIMES = Symbol('LeaseTimes');

/** The policy by which jobs are placed: production's, but for what an operator sets. */
export const SHARES_POLICY = Symbol('SharesPolicy');

export type { FileEntry };
