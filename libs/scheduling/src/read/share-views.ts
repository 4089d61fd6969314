import type { ShareView } from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { loadSnapshot } from '../cycle/load-snapshot.js';
import { consortium, type Snapshot } from '../domain/snapshot.js';
import { type OwnerDepth, queueDepths } from '../jobs/queue-depth.js';

/** Entitlement, use and loans of each owner, from the snapshot that decisions are made of. */
@Injectable()
export class ShareViews {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async list(): Promise<ShareView[]> {
    const { read } = this.transactor;
    const [{ snapshot }, depths] = await Promise.all([loadSnapshot(read), queueDepths(read)]);
    return sharesOf(snapshot, depths);
  }
}

function sharesOf(snapshot: Snapshot, waiting: ReadonlyMap<string, OwnerDepth>): ShareView[] {
  return snapshot.owners.map((use) => {
    const running = sum(snapshot.clusters.map((cluster) => cluster.busyGpus[use.owner] ?? 0));
    // The consortium has no cluster of its own: what it runs on its share is pledged, not lent.
    const lent =
      use.owner === consortium
        ? 0
        : sum(
            snapshot.clusters
              .filter((cluster) => cluster.labId === use.owner)
              .flatMap((cluster) =>
                Object.entries(cluster.busyGpus).flatMap(([owner, gpus]) =>
                  owner === use.owner ? [] : [gpus],
                ),
              ),
          );
    return {
      owner: use.owner as ShareView['owner'],
      entitledGpus: use.entitledGpus,
      runningGpus: running,
      borrowedGpus: Math.max(0, running - use.entitledGpus),
      lentGpus: lent,
      recentGpuSeconds: use.recentGpuSeconds,
      creditGpuSeconds: use.creditGpuSeconds,
      waitingJobs: waiting.get(use.owner)?.jobs ?? 0,
      waitingGpus: waiting.get(use.owner)?.gpus ?? 0,
    };
  });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
