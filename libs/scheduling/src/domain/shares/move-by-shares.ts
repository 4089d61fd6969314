import { sizesOf } from '../elastic.js';
import { wholeGpuMilli } from '../gpu-share.js';
import { Nearness } from './nearness.js';
import { OwnerTurns } from './owner-turns.js';
import { isCapped, keepRoom, takeRoom } from './quota-room.js';
import type { MayAsk } from './running-jobs.js';
import { debtMsOf } from './shadows.js';
import { SharePacking } from './share-packing.js';
import type { Situation } from './situation.js';
import {
  attemptMsMost,
  type ClusterNow,
  hasBetterClaim,
  isEarlier,
  type JobNow,
  type OwnerNow,
  type Queue,
} from './state.js';
import type { WaitingLevel } from './waiting-level.js';

export interface Moves {
  readonly start: readonly JobNow[];
  readonly leave: readonly Leave[];
}

/** A job that is asked to leave. */
interface Leave {
  readonly job: JobNow;
  /** `growth`: for itself. */
  readonly forJob: JobNow;
  readonly why: 'owed' | 'level' | 'growth';
}

/** Clusters whose victims are compared before one is chosen: enough to find cheap ones among many clusters. */
const clustersCompared = 6;
const everyLevel = -1;

/**
 * Who starts where, and who is asked to leave. Carries its own moves out in the situation, which shows the plan.
 *
 * 1. Jobs that would be running at home by now get room: where there is some, else at home, where whoever has no such
 *    claim leaves.
 * 2. Then level by level, those that have had least first (least attained service: Nuyens and Wierman 2008; Tiresias,
 *    NSDI'19): turns go to the owner that runs least for what it is entitled to, among equals to the one with more
 *    credit. Whoever finds no room may ask jobs of worse levels to leave, those whose leaving loses least.
 *
 * Whoever has no room under a quota of GPUs has no turn, and makes nobody leave.
 *
 * A job that wants a part of a GPU goes onto one that is shared already, and onto a free one only where none has room.
 *
 * An elastic job has its turn for the fewest GPUs that it needs, in the cluster where it could have most of those that
 * it asks for. When all have had their turns, those that start have twice as many, and again, of what is left over; and
 * where still some are left, one that runs with too few leaves to go on with twice as many.
 *
 * What is asked to leave takes time to go. Its GPUs are kept for whom it leaves, by the order of turns alone: the next
 * decision comes to the same job first.
 */
export function moveByShares(situation: Situation, nowMs: number, seed: number): Moves {
  return new Turn(situation, nowMs, seed).run();
}

class Turn {
  private readonly starts: JobNow[] = [];
  private readonly leaves: Leave[] = [];
  /** The fewest GPUs that could not be had, by the clusters in reach. */
  private readonly failed = new Map<number, number>();
  private readonly packing: SharePacking;

  constructor(
    private readonly now: Situation,
    private readonly nowMs: number,
    private readonly seed: number,
  ) {
    this.packing = new SharePacking(now);
  }

  run(): Moves {
    const { now, nowMs } = this;
    now.advance(nowMs);
    for (const cluster of now.clusters) {
      cluster.claimedGpus = 0;
      cluster.claimedShareMilli = 0;
      cluster.hopedGpus = 0;
      cluster.reservedGpus = 0;
    }
    if (now.caps.size > 0) keepRoom(now, nowMs);
    if (now.owed.size > 0) this.payDebts();
    for (let level = 0; level < now.levels; level++) {
      if ((now.waiting[level]?.owners.size ?? 0) > 0 && this.hasRoomAt(level)) this.serveLevel(level);
    }
    if (now.small.size > 0) {
      this.enlarge();
      if (now.policy.preempt) this.grow();
    }
    return { start: this.starts, leave: this.leaves };
  }

  private payDebts(): void {
    const { now } = this;
    const owed = [...now.owed].sort((a, b) => a.submittedMs - b.submittedMs || (a.jobId < b.jobId ? -1 : 1));
    for (const job of owed) {
      if (this.isHeldBack(job) || isCapped(job)) continue;
      if (this.placeFree(job) || this.claim(job, job.shape.home)) continue;
      for (const home of job.shape.home) if (this.evict(job, home)) break;
    }
  }

  /** Whether anything could start at this level at all. */
  private hasRoomAt(level: number): boolean {
    const { clusters, policy, freeAtMost } = this.now;
    if (freeAtMost > 0 && clusters.some(({ free }) => free > 0)) return true;
    if (this.now.sharedGpus > 0) return true;
    return policy.preempt && clusters.some(({ running }) => (running.askableGpus[level] as number) > 0);
  }

  private serveLevel(level: number): void {
    this.failed.clear();
    const byArrival = this.now.policy.order === 'arrival';
    const waiting = this.now.waiting[level] as WaitingLevel;
    const headOf = ({ queues }: OwnerNow): JobNow | undefined => this.headOf(queues[level] as Queue);
    const turns = new OwnerTurns(waiting.owners, byArrival ? headOf : null);
    for (let owner = turns.first; owner !== undefined; owner = turns.first) {
      const job = headOf(owner);
      if (job === undefined) turns.drop();
      else if (byArrival && turns.head !== job) turns.moveBack(job);
      else if (this.placeFree(job)) turns.moveBack();
      else if (!this.makeRoom(job, level)) {
        this.reserve(job, level);
        this.fail(job);
        if (!waiting.hasLessThan(this.failed)) return;
      }
    }
  }

  /** Keeps what is free in the cluster where least is lacking, for a gang that is new and has waited: one a cluster. */
  private reserve(job: JobNow, level: number): void {
    const { reserveAfterMs } = this.now.policy;
    if (level > 0 || reserveAfterMs === null || this.nowMs - job.queuedMs < reserveAfterMs) return;
    let best: ClusterNow | undefined;
    for (const cluster of job.shape.reach) {
      if (cluster.reservedGpus > 0 || cluster.gpus < job.shape.request.gpus) continue;
      if (best === undefined || cluster.free > best.free) best = cluster;
    }
    if (best === undefined) return;
    best.reservedGpus = job.shape.request.gpus;
    best.reservedFromMs = freeFromMs(best, job.shape.request.gpus);
    this.claims(job);
  }

  /** Gives elastic jobs that start now twice as many GPUs, and again, as long as so many are left over: in turns. */
  private enlarge(): void {
    const able = (job: JobNow): boolean =>
      job.gpus < job.gpusMost &&
      this.usable(job.cluster as ClusterNow) >= job.gpus &&
      mayHold(job.cluster as ClusterNow, 2 * job.gpus) &&
      !isCapped(job);
    for (let left = this.starts.filter(able); left.length > 0; left = left.filter(able)) {
      for (const job of left) {
        if (!able(job)) continue;
        takeRoom(job);
        this.now.enlarge(job, 2 * job.gpus);
      }
    }
  }

  /**
   * Lets elastic jobs with too few GPUs go on with twice as many, where so many are left over: one in each cluster, first
   * whoever has least of what it asks for. Not while others leave there, whose GPUs are meant for somebody, nor where
   * somebody waits who could take what it would give back meanwhile.
   */
  private grow(): void {
    const first = new Map<ClusterNow, JobNow>();
    for (const job of this.now.small) {
      const { cluster } = job;
      if (cluster === null || !this.canGrow(job, cluster)) continue;
      const other = first.get(cluster);
      if (other === undefined || lacksMore(job, other)) first.set(cluster, job);
    }
    for (const job of first.values()) {
      if (isCapped(job)) continue;
      takeRoom(job);
      this.now.askToLeave(job);
      this.leaves.push({ job, forJob: job, why: 'growth' });
    }
  }

  private canGrow(job: JobNow, cluster: ClusterNow): boolean {
    if (!job.preemptible || job.leaving || this.nowMs - job.startedMs < this.now.policy.minRunMs)
      return false;
    if (cluster.leavingGpus > 0 || this.usable(cluster) < job.gpus) return false;
    // Where nothing starts any more, it would not start again either.
    if (!job.shape.reach.includes(cluster)) return false;
    if (this.now.isAwaited(cluster, cluster.free + job.gpus)) return false;
    return mayHold(cluster, 2 * job.gpus) && !isCapped(job);
  }

  private fail(job: JobNow): void {
    const known = this.failed.get(job.shape.reachId) ?? Number.POSITIVE_INFINITY;
    this.failed.set(job.shape.reachId, this.now.policy.backfill ? Math.min(known, job.gpus) : 0);
  }

  /** The job of a queue whose turn it is, of those that are not known to find no room. */
  private headOf(queue: Queue): JobNow | undefined {
    let best: JobNow | undefined;
    for (const [shape, heap] of queue.shapes) {
      const failed = this.failed.get(shape.reachId);
      if (failed !== undefined && shape.request.gpus >= failed) continue;
      const head = this.now.headOf(heap);
      if (head === undefined) {
        queue.shapes.delete(shape);
        continue;
      }
      if (this.isWaitingFor(head) || isCapped(head)) continue;
      if (best === undefined || isEarlier(head, best)) best = head;
    }
    return best;
  }

  /** Has its claim already, for this decision. */
  private isWaitingFor(job: JobNow): boolean {
    return this.claimed.has(job) || this.isHeldBack(job);
  }
  private readonly claimed = new Set<JobNow>();

  /** What it waits for is its own, also of what is left under its quotas. */
  private claims(job: JobNow): void {
    this.claimed.add(job);
    takeRoom(job);
  }

  private isHeldBack(job: JobNow): boolean {
    return job.retryAtMs !== null && job.retryAtMs > this.nowMs;
  }

  /** Free GPUs that nobody with an earlier turn waits for. */
  private usable(cluster: ClusterNow): number {
    return cluster.free - cluster.reservedGpus - Math.max(0, cluster.claimedGpus - cluster.leavingGpus);
  }

  /** The same for a job that is bound to be gone before the gang could start for which GPUs are kept. */
  private usableBy(job: JobNow, cluster: ClusterNow): number {
    const usable = this.usable(cluster);
    if (cluster.reservedGpus === 0) return usable;
    const boundMs = this.nowMs + attemptMsMost(job);
    return boundMs <= cluster.reservedFromMs ? usable + cluster.reservedGpus : usable;
  }

  /** A replica in a cluster where no other of its model is, if there is room: one outage does not take all of them. */
  private placeFree(job: JobNow): boolean {
    const others = job.replicaOf === null ? [] : (this.now.replicas.get(job.replicaOf) ?? []);
    if (others.length === 0) return this.placeAnywhere(job);
    const { avoid } = job;
    job.avoid = [...avoid, ...others.map(({ info }) => info.clusterId)];
    const isApart = this.placeAnywhere(job);
    job.avoid = avoid;
    return isApart || this.placeAnywhere(job);
  }

  /** Onto free GPUs: an elastic job with the fewest, where it could have as many of those that it asks for as can be. */
  private placeAnywhere(job: JobNow): boolean {
    if (job.shareMilli < wholeGpuMilli) return this.placeShared(job);
    if (job.gpusMost === job.gpus) return this.placeWhole(job);
    return sizesOf(job.shape.request).some((gpus) => this.placeWhole(job, gpus));
  }

  /**
   * Its own cluster first, then the one that it leaves fullest; ties by the seed. Where data lies: see `Nearness`.
   *
   * @param gpus how many it could have there, if nobody else takes them; it has the fewest that it asks for
   */
  private placeWhole(job: JobNow, gpus = job.gpus): boolean {
    const { cachedBytes } = job;
    if (gpus > this.now.freeAtMost) return false;
    const { home, reach } = job.shape;
    const near = cachedBytes === null ? null : new Nearness(cachedBytes, reach);
    let best: ClusterNow | undefined;
    let bestLeft = Number.POSITIVE_INFINITY;
    for (let at = 0; at < reach.length; at++) {
      if (at === home.length && best !== undefined) break;
      const cluster = reach[at] as ClusterNow;
      if (cluster.free < gpus) continue;
      const hoped = gpus > job.gpus ? cluster.hopedGpus : 0;
      const left = this.usableBy(job, cluster) - hoped - gpus;
      if (left < 0 || job.avoid.includes(cluster.info.clusterId)) continue;
      if (gpus > job.gpus && !mayHold(cluster, gpus)) continue;
      if (at < home.length) {
        if (best === undefined || near?.holdsMore(cluster, best)) best = cluster;
        if (near === null) break;
        continue;
      }
      const order = best === undefined ? -1 : near?.compare(cluster, best) || left - bestLeft;
      if (order < 0 || (order === 0 && best !== undefined && this.wins(job, cluster, best, near))) {
        best = cluster;
        bestLeft = left;
      }
    }
    if (best === undefined) {
      this.now.tightenFree();
      return false;
    }
    this.now.start(job, best);
    takeRoom(job);
    best.hopedGpus += gpus - job.gpus;
    this.starts.push(job);
    return true;
  }

  /** At home first; in either place on a GPU that is shared already, and only then on a free one. */
  private placeShared(job: JobNow): boolean {
    const { home, reach } = job.shape;
    const placed = this.shareAmong(job, home) || this.shareAmong(job, reach.slice(home.length));
    if (placed) this.starts.push(job);
    return placed;
  }

  private shareAmong(job: JobNow, clusters: readonly ClusterNow[]): boolean {
    const able = clusters.filter(({ info }) => !job.avoid.includes(info.clusterId));
    const spots = able.flatMap((cluster) =>
      this.mayStayShared(job, cluster)
        ? cluster.shared.withRoom(job.shareMilli).map((gpu) => ({ cluster, ...gpu }))
        : [],
    );
    const spot = this.packing.best(spots, job.shareMilli);
    if (spot !== undefined) {
      this.now.start(job, spot.cluster, spot.slot);
      return true;
    }
    let best: ClusterNow | undefined;
    let bestLeft = Number.POSITIVE_INFINITY;
    const near = job.cachedBytes === null ? null : new Nearness(job.cachedBytes, able);
    for (const cluster of able) {
      const left = this.usableBy(job, cluster) - 1;
      if (cluster.free < 1 || left < 0) continue;
      if (
        left < bestLeft ||
        (left === bestLeft && best !== undefined && this.wins(job, cluster, best, near))
      ) {
        best = cluster;
        bestLeft = left;
      }
    }
    if (best === undefined) return false;
    this.now.start(job, best, best.shared.nextSlot());
    return true;
  }

  /**
   * Where a gang needs the shared GPUs back too, they take only who will be gone by the time from which it could start:
   * small jobs that come and come would keep it waiting for ever.
   */
  private mayStayShared(job: JobNow, cluster: ClusterNow): boolean {
    if (cluster.reservedGpus <= cluster.gpus - cluster.shared.count) return true;
    return this.nowMs + attemptMsMost(job) <= cluster.reservedFromMs;
  }

  /** Of two clusters that it would leave equally full: more of its inputs, then the lot. */
  private wins(job: JobNow, a: ClusterNow, b: ClusterNow, near: Nearness | null): boolean {
    if (near?.holdsMore(a, b)) return true;
    if (near?.holdsMore(b, a)) return false;
    return this.lot(job, a) < this.lot(job, b);
  }

  /** Spreads ties evenly and the same way on every machine. */
  private lot(job: JobNow, cluster: ClusterNow): number {
    let value = Math.imul(this.seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(job.ticket + 1, 0xc2b2ae35);
    value = Math.imul(value ^ (value >>> 15) ^ cluster.index, 0x27d4eb2f);
    return (value ^ (value >>> 13)) >>> 0;
  }

  /** Where enough is being vacated, it waits for that and nobody else gets it. */
  private claim(job: JobNow, among: readonly ClusterNow[]): boolean {
    if (this.joinClaim(job, among)) return true;
    const { gpus } = job;
    for (const cluster of among) {
      if (cluster.leavingGpus === 0 || job.avoid.includes(cluster.info.clusterId)) continue;
      if (obtainable(cluster) < gpus) continue;
      this.claimIn(cluster, job);
      this.claims(job);
      return true;
    }
    return false;
  }

  /** On a GPU that is being vacated for another job that shares it, there may be room for one more. */
  private joinClaim(job: JobNow, among: readonly ClusterNow[]): boolean {
    if (job.shareMilli === wholeGpuMilli) return false;
    const cluster = among.find(
      ({ claimedShareMilli, info }) =>
        claimedShareMilli >= job.shareMilli && !job.avoid.includes(info.clusterId),
    );
    if (cluster === undefined) return false;
    cluster.claimedShareMilli -= job.shareMilli;
    this.claimed.add(job);
    return true;
  }

  private claimIn(cluster: ClusterNow, job: JobNow): void {
    cluster.claimedGpus += job.gpus;
    if (job.shareMilli < wholeGpuMilli) cluster.claimedShareMilli = wholeGpuMilli - job.shareMilli;
    this.claimed.add(job);
  }

  /** Asks jobs of worse levels to leave, where that loses least among some clusters. */
  private makeRoom(job: JobNow, level: number): boolean {
    if (!this.now.policy.preempt) return false;
    const { reach, reachId } = job.shape;
    const { gpus } = job;
    if (this.claim(job, reach)) return true;
    const { askedInVain, policy } = this.now;
    const vain = askedInVain[level]?.get(reachId);
    const isFresh = vain !== undefined && this.nowMs - vain.atMs < policy.askAgainMs;
    if (isFresh && gpus >= vain.gpus) return false;
    let best: { cluster: ClusterNow; leave: JobNow[]; cost: number } | undefined;
    let compared = 0;
    const lossMaxMs = policy.lossMs + this.nowMs - job.queuedMs;
    const may = this.mayAsk(level, lossMaxMs, null);
    const from = reach.length === 0 ? 0 : this.lotOf(job) % reach.length;
    for (let step = 0; step < reach.length && compared < clustersCompared; step++) {
      const cluster = reach[(from + step) % reach.length] as ClusterNow;
      const has = this.usable(cluster) + (cluster.running.askableGpus[level] as number);
      if (has < gpus || job.avoid.includes(cluster.info.clusterId)) continue;
      const plan = cluster.running.whoLosesLeast(gpus - obtainable(cluster), may);
      if (plan === undefined) continue;
      compared++;
      if (best === undefined || plan.cost < best.cost) best = { cluster, ...plan };
    }
    if (best === undefined) {
      const fewest = isFresh ? Math.min(vain.gpus, gpus) : gpus;
      askedInVain[level]?.set(reachId, { gpus: fewest, atMs: this.nowMs });
      return false;
    }
    this.vacate(job, best.cluster, best.leave, 'level');
    return true;
  }

  private lotOf(job: JobNow): number {
    return (Math.imul(job.ticket, 0x9e3779b1) ^ this.seed) >>> 0;
  }

  /** Makes room at home for a job that would be running there: guests leave first, then its lab's own. */
  private evict(job: JobNow, home: ClusterNow): boolean {
    if (!this.now.policy.preempt || job.avoid.includes(home.info.clusterId)) return false;
    const lossMaxMs = this.now.policy.lossMs + debtMsOf(job, this.nowMs);
    const isGuest = (running: JobNow): boolean => running.ownerNow !== job.ownerNow;
    const lacking = job.gpus - obtainable(home);
    const plan =
      home.running.whoLosesLeast(lacking, this.mayAsk(everyLevel, lossMaxMs, isGuest)) ??
      home.running.whoLosesLeast(lacking, this.mayAsk(everyLevel, lossMaxMs, null));
    if (plan === undefined) return false;
    this.vacate(job, home, plan.leave, 'owed');
    return true;
  }

  private vacate(job: JobNow, cluster: ClusterNow, leave: readonly JobNow[], why: Leave['why']): void {
    for (const running of leave) {
      this.now.askToLeave(running);
      this.leaves.push({ job: running, forJob: job, why });
    }
    this.claimIn(cluster, job);
    this.claims(job);
  }

  private mayAsk(
    belowLevel: number,
    lossMaxMs: number,
    passes: ((running: JobNow) => boolean) | null,
  ): MayAsk<JobNow> {
    return { nowMs: this.nowMs, belowLevel, lossMaxMs, minRunMs: this.now.policy.minRunMs, passes };
  }
}

/** GPUs that are free or being vacated, and that nobody with an earlier turn waits for. */
function obtainable({ free, leavingGpus, claimedGpus, reservedGpus }: ClusterNow): number {
  return free + leavingGpus - claimedGpus - reservedGpus;
}

/** Whether a cluster's policy lets a job have so many GPUs: of an elastic one its shape has only told the fewest. */
function mayHold({ info }: ClusterNow, gpus: number): boolean {
  return gpus <= (info.capacity?.policy.gpusPerJobMax ?? Number.POSITIVE_INFINITY);
}

/** Whether of two elastic jobs one has less of what it asks for; among equals, who came first. */
function lacksMore(a: JobNow, b: JobNow): boolean {
  const [p, q] = [a.gpus / a.gpusMost, b.gpus / b.gpusMost];
  return p === q ? isEarlier(a, b) : p < q;
}

/** When so many GPUs are free at the latest, by the time bounds of what runs; −Infinity when that cannot be told. */
function freeFromMs(cluster: ClusterNow, gpus: number): number {
  const ends: { atMs: number; gpus: number }[] = [];
  // A shared GPU is free when the last of its jobs has gone.
  const lastOfSlot = new Map<number, { atMs: number; gpus: number }>();
  for (const job of cluster.running.jobs) {
    const { slot } = job;
    const end = { atMs: job.startedMs + attemptMsMost(job), gpus: job.gpus };
    const known = slot === null ? undefined : lastOfSlot.get(slot);
    if (known !== undefined) known.atMs = Math.max(known.atMs, end.atMs);
    else ends.push(end);
    if (slot !== null && known === undefined) lastOfSlot.set(slot, end);
  }
  ends.sort((a, b) => a.atMs - b.atMs);
  let { free } = cluster;
  for (const end of ends) {
    free += end.gpus;
    if (free >= gpus) return end.atMs;
  }
  return Number.NEGATIVE_INFINITY;
}

/** Whether a waiting job's turn comes before another's, as things stand. */
export function isBefore(situation: Situation, a: JobNow, b: JobNow): boolean {
  const [owedA, owedB] = [situation.owed.has(a), situation.owed.has(b)];
  if (owedA !== owedB) return owedA;
  if (a.level !== b.level) return a.level < b.level;
  if (a.ownerNow !== b.ownerNow) return hasBetterClaim(a.ownerNow, b.ownerNow);
  return isEarlier(a, b);
}
