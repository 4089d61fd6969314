import type { ShareView } from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { consortium, type Snapshot } from '../domain/snapshot.js';
import { loadSnapshot } from '../load-snapshot.js';

/** Entitlement, use and loans of each owner, from the snapshot that decisions are made of. */
@Injectable()
export class ShareViews {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async list(): Promise<ShareView[]> {
    const { snapshot } = await this.transactor.do((tx) => loadSnapshot(tx));
    return sharesOf(snapshot);
  }
}

export function sharesOf(snapshot: Snapshot): ShareView[] {
  return snapshot.owners.map((use) => {
    const running = sum(snapshot.clusters.map((cluster) => cluster.busyGpus[use.owner] ?? 0));
    const waiting = snapshot.waiting.filter((job) => job.owner === use.owner);
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
      waitingJobs: waiting.length,
      waitingGpus: sum(waiting.map((job) => job.gpus)),
    };
  });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
