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

/** The policy of production, and with other numbers the simpler ones that it is compared with. */
export interface SharesPolicy {
  readonly kind: 'shares';
  /** Whether jobs run at their lab's own clusters only. */
  readonly reach: 'home' | 'all';
  /** Among jobs of a level: by arrival, or the owner first that runs least for what it is entitled to. */
  readonly order: 'arrival' | 'share';
  /** Whether what comes behind a job that does not fit may go before it. */
  readonly backfill: boolean;
  /** Bounds between levels, in GPU-seconds that a job has had: who has had little goes before who has had much. */
  readonly levelsGpuSeconds: readonly number[];
  /** Whether a job of a better level may ask one of a worse level to leave. */
  readonly preempt: boolean;
  /** An attempt is left alone for so long: at least as long as it takes to save something, or it would never get on. */
  readonly minRunMs: number;
  /**
   * A job may cost each of those that leave for it so much work, and as much more as it has waited itself: leaving is
   * cheap right after a checkpoint, and nobody loses much for somebody who has just come.
   */
  readonly lossMs: number;
  /** Who was found to yield nothing to a job of some size and level is not asked again for so long. */
  readonly askAgainMs: number;
  /** A job that has waited so long rises by a level, and again. */
  readonly raiseAfterMs: number | null;
  /** Whether a job that would be running in its lab alone by now goes before all others there. */
  readonly guarantee: boolean;
  /** A job with so small a lead over its shadow is left alone: it would be owed its place again at once. */
  readonly protectLeadMs: number;
  /** A gang that nobody can make room for keeps a cluster free for itself after so long; null: never. */
  readonly reserveAfterMs: number | null;
}

/**
 * What `decide` follows. A value, so that a simulation runs the function that production runs: `shares` is the
 * policy in production, the others are the published baselines that it is measured against.
 */
export type Policy =
  | SharesPolicy
  | { readonly kind: 'preemptive-order'; readonly rank: Rank }
  | {
      readonly kind: 'packing';
      readonly score: PackingScore;
      /** What jobs ask for and how often: all that a packing policy may know of those still to come. */
      readonly workload: readonly Ask[];
    };

const gpuHours = (hours: number): number => hours * 3_600;

/** The policy of production. What it is measured by: docs/benchmarks.md, `beamtime simulate --scenario fed-philly`. */
export const beamtime: SharesPolicy = {
  kind: 'shares',
  reach: 'all',
  order: 'share',
  backfill: true,
  levelsGpuSeconds: [gpuHours(1), gpuHours(4), gpuHours(16), gpuHours(64), gpuHours(256)],
  preempt: true,
  minRunMs: 30 * 60_000,
  lossMs: 60_000,
  askAgainMs: 15_000,
  raiseAfterMs: 14 * 24 * 3_600_000,
  guarantee: true,
  protectLeadMs: 600_000,
  reserveAfterMs: 120_000,
};
