import type { PackingScore } from './packing/scores.js';
import type { Ask } from './packing/workload.js';

/** By what a baseline orders all jobs, running and waiting alike. */
export type Rank =
  /** Shortest remaining time first. Knows the future. */
  | 'srtf'
  /** Shortest remaining service (time × GPUs) first. Knows the future. */
  | 'srsf'
  /** Least attained service in three queues (Tiresias-L, NSDI'19): forgets nothing and knows nothing of the future. */
  | 'tiresias';

/**
 * What `decide` follows. A value, so that a simulation runs the function that production runs: `shares` is the
 * policy in production, the others are the published baselines that it is measured against.
 */
export type Policy =
  | { readonly kind: 'shares' }
  | { readonly kind: 'preemptive-order'; readonly rank: Rank }
  | {
      readonly kind: 'packing';
      readonly score: PackingScore;
      /** What jobs ask for and how often: all that a packing policy may know of those still to come. */
      readonly workload: readonly Ask[];
    };

export const beamtime: Policy = { kind: 'shares' };
