import type { ClusterNow } from './state.js';

/**
 * Bytes for which a worse fit is taken: fewer are fetched in about the time that a start takes anyway, ten seconds at
 * 100 MB/s.
 */
const worthwhileBytes = 1024 ** 3;

/**
 * Where the inputs of one job lie already, among the clusters that take it. It decides between places that are equal for
 * the policy only: never between an own cluster and another one, nor about whose turn it is. Between clusters of others
 * it goes before the tightest fit where much would have to be fetched, unless that takes from the most that is free in
 * one of them: a gang that could start now could start afterwards.
 */
export class Nearness {
  private readonly mostFree: number;
  private readonly withMostFree: number;

  constructor(
    private readonly cachedBytes: Readonly<Record<string, number>>,
    reach: readonly ClusterNow[],
  ) {
    this.mostFree = Math.max(...reach.map(({ free }) => free));
    this.withMostFree = reach.filter(({ free }) => free === this.mostFree).length;
  }

  holdsMore(a: ClusterNow, b: ClusterNow): boolean {
    return this.bytesAt(a) > this.bytesAt(b);
  }

  /** Negative where `a` is worth a worse fit than `b`, positive the other way round. */
  compare(a: ClusterNow, b: ClusterNow): number {
    return this.worth(b) - this.worth(a);
  }

  private worth(cluster: ClusterNow): number {
    if (cluster.free === this.mostFree && this.withMostFree === 1) return 0;
    return Math.floor(this.bytesAt(cluster) / worthwhileBytes);
  }

  private bytesAt({ info }: ClusterNow): number {
    return this.cachedBytes[info.clusterId] ?? 0;
  }
}
