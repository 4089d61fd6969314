import type { OwnerNow, Shape } from './state.js';

/** What waits at one level, counted. */
export class WaitingLevel {
  /** Owners with waiting jobs here. */
  readonly owners = new Set<OwnerNow>();
  /** Waiting jobs by the clusters in reach, and by GPUs. */
  private readonly counts = new Map<number, number[]>();

  count({ reachId, request: { gpus } }: Shape, by: number): void {
    let counts = this.counts.get(reachId);
    if (counts === undefined) {
      counts = [];
      this.counts.set(reachId, counts);
    }
    while (counts.length <= gpus) counts.push(0);
    counts[gpus] = (counts[gpus] as number) + by;
  }

  /** Forgets the counts: other clusters are in reach. */
  clearCounts(): void {
    this.counts.clear();
  }

  /**
   * Whether something waits here that asks for less than what was found not to be had.
   * @param failedGpus the fewest GPUs that could not be had, by the clusters in reach
   */
  hasLessThan(failedGpus: ReadonlyMap<number, number>): boolean {
    for (const [reachId, counts] of this.counts) {
      const below = Math.min(counts.length, failedGpus.get(reachId) ?? Number.POSITIVE_INFINITY);
      for (let gpus = 0; gpus < below; gpus++) if ((counts[gpus] as number) > 0) return true;
    }
    return false;
  }
}
