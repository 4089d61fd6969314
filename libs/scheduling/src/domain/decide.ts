import type { Decisions, Placement, Waiting } from './decisions.js';
import { leastEntitledGpus } from './entitlements.js';
import { judgeNow, type Verdict } from './judge-cluster.js';
import { decideByOrder } from './order/decide-by-order.js';
import { decideByPacking } from './packing/decide-by-packing.js';
import { beamtime, type Policy } from './policy.js';
import type { Owner, Snapshot, SnapshotCluster, WaitingJob } from './snapshot.js';

export type { Decisions, Placement } from './decisions.js';

/** A job that has waited so long and is next in turn keeps a cluster free for itself, so that gangs do not starve. */
export const reserveAfterMs = 120_000;

/**
 * Which waiting jobs start where, and which running ones give way. Pure: the same snapshot, time, seed and policy give
 * the same answer, in production and in a simulation. Production leaves the policy out.
 */
export function decide(
  snapshot: Snapshot,
  nowMs: number,
  seed: number,
  policy: Policy = beamtime,
): Decisions {
  switch (policy.kind) {
    case 'shares':
      return decideByShares(snapshot, nowMs, seed);
    case 'preemptive-order':
      return decideByOrder(snapshot, policy.rank);
    case 'packing':
      return decideByPacking(snapshot, seed, policy.score, policy.workload);
  }
}

/**
 * Turns go to the owner that runs least for what it is entitled to; among equals to the one that used less lately.
 * Within an owner, higher priority first, then the older job. A gang gets all its GPUs in one cluster, the one that
 * it fills best. Nothing idles for the sake of shares: what an owner leaves is lent to the next.
 */
function decideByShares(snapshot: Snapshot, nowMs: number, seed: number): Decisions {
  const floor = new Floor(snapshot, nowMs, seed);
  const turns = new Turns(snapshot);
  const place: Placement[] = [];
  const waiting: Waiting[] = [];
  for (let position = 1, job = turns.next(); job !== undefined; position++, job = turns.next()) {
    if (job.retryAtMs !== null && job.retryAtMs > nowMs) {
      waiting.push(backingOff(job, position, nowMs));
      continue;
    }
    const clusterId = floor.bestFor(job);
    if (clusterId === undefined) {
      waiting.push(floor.explain(job, position));
      if (nowMs - job.submittedMs >= reserveAfterMs) floor.reserveFor(job);
      continue;
    }
    floor.take(clusterId, job.gpus);
    turns.charge(job.owner, job.gpus);
    place.push({ jobId: job.jobId, clusterId });
  }
  return { place, waiting, preempt: [], move: [] };
}

/** Whose turn it is. */
class Turns {
  private readonly queues = new Map<Owner, { jobs: WaitingJob[]; at: number }>();
  private readonly running = new Map<Owner, number>();
  private readonly entitled = new Map<Owner, number>();
  private readonly recent = new Map<Owner, number>();

  constructor(snapshot: Snapshot) {
    for (const use of snapshot.owners) {
      this.entitled.set(use.owner, use.entitledGpus);
      this.recent.set(use.owner, use.recentGpuSeconds);
    }
    for (const cluster of snapshot.clusters) {
      for (const [owner, gpus] of Object.entries(cluster.busyGpus)) this.charge(owner, gpus);
    }
    for (const job of snapshot.waiting) {
      const queue = this.queues.get(job.owner) ?? { jobs: [], at: 0 };
      queue.jobs.push(job);
      this.queues.set(job.owner, queue);
    }
    for (const queue of this.queues.values()) queue.jobs.sort(inOrder);
  }

  charge(owner: Owner, gpus: number): void {
    this.running.set(owner, (this.running.get(owner) ?? 0) + gpus);
  }

  next(): WaitingJob | undefined {
    let best: { owner: Owner; ratio: number; recent: number } | undefined;
    for (const [owner, queue] of this.queues) {
      if (queue.at >= queue.jobs.length) continue;
      const entitled = this.entitled.get(owner) ?? leastEntitledGpus;
      const ratio = (this.running.get(owner) ?? 0) / entitled;
      const recent = (this.recent.get(owner) ?? 0) / entitled;
      if (best === undefined || isBefore({ owner, ratio, recent }, best)) best = { owner, ratio, recent };
    }
    const queue = best === undefined ? undefined : this.queues.get(best.owner);
    return queue?.jobs[queue.at++];
  }
}

type Claim = { owner: Owner; ratio: number; recent: number };
function isBefore(a: Claim, b: Claim): boolean {
  if (a.ratio !== b.ratio) return a.ratio < b.ratio;
  if (a.recent !== b.recent) return a.recent < b.recent;
  return a.owner < b.owner;
}

function inOrder(a: WaitingJob, b: WaitingJob): number {
  return b.priority - a.priority || a.submittedMs - b.submittedMs || (a.jobId < b.jobId ? -1 : 1);
}

/** The clusters with what is free on them as the decision goes on. */
class Floor {
  private readonly free = new Map<string, number>();
  private readonly freeAtFirst: ReadonlyMap<string, number>;
  private readonly reservedFor = new Map<string, string>();

  constructor(
    private readonly snapshot: Snapshot,
    private readonly nowMs: number,
    private readonly seed: number,
  ) {
    for (const cluster of snapshot.clusters) {
      const busy = Object.values(cluster.busyGpus).reduce((sum, gpus) => sum + gpus, 0);
      this.free.set(cluster.clusterId, Math.max(0, (cluster.capacity?.gpus ?? 0) - busy));
    }
    this.freeAtFirst = new Map(this.free);
  }

  take(clusterId: string, gpus: number): void {
    this.free.set(clusterId, (this.free.get(clusterId) ?? 0) - gpus);
  }

  private verdict(cluster: SnapshotCluster, job: WaitingJob): Verdict {
    return judgeNow(cluster, job, this.free.get(cluster.clusterId) ?? 0, this.nowMs);
  }

  /** A job's own cluster first, then the one that it leaves fullest; ties by the seed. */
  bestFor(job: WaitingJob): string | undefined {
    let best: { clusterId: string; rank: readonly number[] } | undefined;
    for (const cluster of this.snapshot.clusters) {
      if (this.reservedFor.has(cluster.clusterId) || this.verdict(cluster, job).fits !== 'now') continue;
      const rank = [
        cluster.labId === job.owner ? 0 : 1,
        (this.free.get(cluster.clusterId) ?? 0) - job.gpus,
        hash(`${this.seed}/${job.jobId}/${cluster.clusterId}`),
      ];
      if (best === undefined || precedes(rank, best.rank)) best = { clusterId: cluster.clusterId, rank };
    }
    return best?.clusterId;
  }

  /** Keeps the cluster that would be free for it soonest, by what is free already. One reservation per cluster. */
  reserveFor(job: WaitingJob): void {
    let best: SnapshotCluster | undefined;
    for (const cluster of this.snapshot.clusters) {
      const verdict = this.verdict(cluster, job);
      if (verdict.fits !== 'later' || verdict.code !== 'capacity' || this.reservedFor.has(cluster.clusterId))
        continue;
      if (best === undefined || this.lacking(cluster, job) < this.lacking(best, job)) best = cluster;
    }
    if (best !== undefined) this.reservedFor.set(best.clusterId, job.jobId);
  }

  private lacking(cluster: SnapshotCluster, job: WaitingJob): number {
    return job.gpus - (this.free.get(cluster.clusterId) ?? 0);
  }

  explain(job: WaitingJob, position: number): Waiting {
    const verdicts = this.snapshot.clusters.map((cluster) => ({
      cluster,
      verdict: this.verdict(cluster, job),
    }));
    const clusters = verdicts
      .filter(({ cluster }) => cluster.state !== 'retired')
      .map(({ cluster, verdict }) => ({
        clusterId: cluster.clusterId,
        name: cluster.name,
        says: verdict.fits === 'now' ? 'it is kept free for a job that has waited longer' : verdict.says,
      }));
    const hadRoom = this.snapshot.clusters.some(
      (cluster) =>
        judgeNow(cluster, job, this.freeAtFirst.get(cluster.clusterId) ?? 0, this.nowMs).fits === 'now',
    );
    const why = this.reason(
      job,
      verdicts.map((v) => v.verdict),
      hadRoom,
    );
    return { jobId: job.jobId, position, clusters, ...why };
  }

  private reason(
    job: WaitingJob,
    verdicts: readonly Verdict[],
    hadRoom: boolean,
  ): Pick<Waiting, 'code' | 'detail' | 'change'> {
    const codes = new Set(verdicts.flatMap((v) => (v.fits === 'later' ? [v.code] : [])));
    if (verdicts.some((v) => v.fits === 'now')) {
      return {
        code: 'reserved',
        detail: 'The cluster that has room is kept free for a larger job that has waited longer',
        change: 'It starts after that job, or when another cluster has room',
      };
    }
    if (hadRoom) {
      return {
        code: 'share',
        detail: 'What was free has just gone to jobs with a better claim',
        change:
          'Its owner runs more for its share than theirs, or its priority is lower; it starts as GPUs become free',
      };
    }
    if (codes.has('capacity')) {
      return {
        code: 'capacity',
        detail: `No cluster that may run it has ${job.gpus} GPUs free`,
        change: `It starts when ${job.gpus} GPUs in one cluster become free and nobody with a better claim wants them`,
      };
    }
    if (codes.has('retry-later')) {
      return {
        code: 'retry-later',
        detail: 'The clusters that could run it did not take it a moment ago',
        change: 'It is offered to them again shortly; their agents log why they refused',
      };
    }
    if (codes.has('cluster-policy')) {
      return {
        code: 'cluster-policy',
        detail: 'The clusters that could run it start no work at this hour',
        change: 'It starts when their hours begin',
      };
    }
    if (codes.has('cluster-unavailable')) {
      return {
        code: 'cluster-unavailable',
        detail: 'Every cluster that could run it is down or drained',
        change: 'It starts when the agent of such a cluster is back, or its operators resume it',
      };
    }
    return {
      code: 'unschedulable',
      detail: 'No cluster of the consortium could run it any more',
      change: 'Ask for less, or have a cluster join that has it; cancel it otherwise',
    };
  }
}

function backingOff(job: WaitingJob, position: number, nowMs: number): Waiting {
  const seconds = Math.ceil(((job.retryAtMs ?? nowMs) - nowMs) / 1000);
  return {
    jobId: job.jobId,
    position,
    code: 'retry-later',
    detail: `Its last attempt failed; it is tried again in ${seconds} s`,
    change: 'Nothing: it starts by itself',
    clusters: [],
  };
}

function precedes(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** FNV-1a: spreads ties evenly and the same way on every machine. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}
