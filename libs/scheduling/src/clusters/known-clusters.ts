import type { Tx } from '@beamtime/platform';
import { Injectable } from '@nestjs/common';
import { whyNever } from '../domain/judge-cluster.js';
import type { JobRequest, SnapshotCluster } from '../domain/snapshot.js';
import { readClusters } from './read-clusters.js';

/** So long it is believed that a cluster which could run a job still can; a refusal always looks again. */
const believedMs = 1_000;

/** Whether some cluster could ever run a job, asked with every submission. */
@Injectable()
export class KnownClusters {
  private clusters: readonly SnapshotCluster[] = [];
  private readAtMs = Number.NEGATIVE_INFINITY;

  /** A cluster has turned out to have less than was believed: the next submission looks again. */
  forget(): void {
    this.readAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Why no cluster could, or null when one could. */
  async whyNever(tx: Tx, job: JobRequest): Promise<string | null> {
    if (performance.now() - this.readAtMs < believedMs && whyNever(this.clusters, job) === null) return null;
    this.clusters = await readClusters(tx);
    this.readAtMs = performance.now();
    return whyNever(this.clusters, job);
  }
}
