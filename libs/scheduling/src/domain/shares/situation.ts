import { timeWithSome } from '../elastic.js';
import { leastEntitledGpus } from '../entitlements.js';
import { gpusCounted, sharesGpu, wholeGpuMilli } from '../gpu-share.js';
import { judgeNow } from '../judge-cluster.js';
import type { SharesPolicy } from '../policy.js';
import type { GpuQuota, JobRequest, Owner, OwnerUse, SnapshotCluster } from '../snapshot.js';
import { BinaryHeap } from './binary-heap.js';
import { RunningJobs } from './running-jobs.js';
import { hasNoLead, isOwed, Shadows } from './shadows.js';
import { SharedGpus } from './shared-gpus.js';
import {
  type Cap,
  type ClusterNow,
  countRunning,
  isEarlier,
  type JobNow,
  type OwnerNow,
  type Queue,
  type ShadowJob,
  type Shape,
  servedMsOf,
  type Ticket,
} from './state.js';
import { TimeHeap } from './time-heap.js';
import { WaitingLevel } from './waiting-level.js';

/**
 * Everything a decision depends on, indexed. In production it is built from a snapshot for one decision; a simulator
 * keeps it and tells it what happens, so that a decision costs what has changed and not what there is.
 */
export class Situation {
  readonly clusters: ClusterNow[];
  readonly owners: OwnerNow[] = [];
  readonly levels: number;
  /** Waiting jobs that would be running at home by now. */
  readonly owed = new Set<JobNow>();
  /** What waits at each level. */
  readonly waiting: readonly WaitingLevel[];
  /** Fewest GPUs for which nobody could be asked to leave, and when, by level and clusters in reach. */
  readonly askedInVain: readonly Map<number, { gpus: number; atMs: number }>[];
  readonly shadows: Shadows;
  /** Quotas of GPUs, by their keys. */
  readonly caps: ReadonlyMap<string, Cap>;
  private readonly shapes = new Map<string, Shape>();
  private readonly byId = new Map<string, ClusterNow>();
  private readonly ownersById = new Map<Owner, OwnerNow>();
  private readonly reachIds = new Map<string, number>();
  private tickets = 0;
  /** When running jobs leave their levels behind. */
  private readonly levelNotes = new TimeHeap<Note>();
  /** When waiting jobs rise for having waited long. */
  private readonly raiseNotes = new TimeHeap<Note>();
  /** When waiting jobs have had less than they would have had at home. */
  private readonly debtNotes = new TimeHeap<Note>();
  /** No cluster has more GPUs free; after `tightenFree` one has as many. */
  freeAtMost = 0;
  /** GPUs that jobs share, in all clusters. */
  sharedGpus = 0;
  /** Where the replicas of models run, by the models' ids; a cluster stands there once for each. */
  readonly replicas = new Map<string, ClusterNow[]>();
  /** Elastic jobs that run with fewer GPUs than they ask for. */
  readonly small = new Set<JobNow>();

  constructor(
    clusters: readonly SnapshotCluster[],
    owners: readonly OwnerUse[],
    readonly policy: SharesPolicy,
    private nowMs: number,
    quotas: readonly GpuQuota[] = [],
  ) {
    this.caps = new Map(
      quotas.map(({ key, gpus, usedGpus }) => [key, { key, gpus, left: gpus - usedGpus, keptFor: null }]),
    );
    this.levels = policy.levelsGpuSeconds.length + 1;
    this.waiting = Array.from({ length: this.levels }, () => new WaitingLevel());
    this.askedInVain = Array.from({ length: this.levels }, () => new Map());
    this.clusters = clusters.map((info, index) => ({
      index,
      info,
      gpus: info.capacity?.gpus ?? 0,
      free: (info.capacity?.gpus ?? 0) - busyUnlisted(info),
      shared: new SharedGpus(),
      claimedShareMilli: 0,
      leavingGpus: 0,
      running: new RunningJobs<JobNow>(this.levels),
      claimedGpus: 0,
      hopedGpus: 0,
      reservedGpus: 0,
      reservedFromMs: 0,
    }));
    for (const cluster of this.clusters) this.byId.set(cluster.info.clusterId, cluster);
    for (const use of owners) Object.assign(this.ownerOf(use.owner), use);
    for (const cluster of this.clusters) this.freed(cluster);
    for (const { info } of this.clusters) {
      for (const [owner, gpus] of Object.entries(info.busyGpus)) countRunning(this.ownerOf(owner), gpus);
      for (const job of info.running ?? []) countRunning(this.ownerOf(job.owner), -gpusCounted(job));
    }
    this.shadows = new Shadows(this.clusters, {
      changed: (shadow, atMs) => this.shadowChanged(shadow, atMs),
    });
    if (policy.guarantee) for (const owner of this.owners) this.shadows.open(owner);
  }

  clusterOf(clusterId: string): ClusterNow | undefined {
    return this.byId.get(clusterId);
  }

  ownerOf(owner: Owner): OwnerNow {
    let now = this.ownersById.get(owner);
    if (now === undefined) {
      now = {
        owner,
        entitledGpus: leastEntitledGpus,
        recentGpuSeconds: 0,
        creditGpuSeconds: 0,
        runningGpus: 0,
        load: 0,
        queues: Array.from({ length: this.levels }, () => ({ shapes: new Map(), size: 0 })),
      };
      this.ownersById.set(owner, now);
      this.owners.push(now);
    }
    return now;
  }

  /**
   * Shapes are few; jobs are many.
   * @param quotas keys of the quotas under which the job stands
   */
  shapeOf(request: JobRequest, quotas: readonly string[] = []): Shape {
    const { kind, owner, gpus, gpusMost, gpuType, gpuMemoryMiB, maxSeconds, gpuShareMilli } = request;
    const isShared = sharesGpu(request);
    const asked = gpusMost === undefined ? `${gpus}` : `${gpus} to ${gpusMost}`;
    const whole = `${owner}/${asked}/${kind}/${gpuType}/${gpuMemoryMiB}/${maxSeconds}`;
    const bare = isShared ? `${whole}/${gpuShareMilli}` : whole;
    const key = quotas.length === 0 ? bare : `${bare} under ${quotas.join()}`;
    let shape = this.shapes.get(key);
    if (shape === undefined) {
      shape = {
        request: {
          ...{ kind, owner, gpus, gpuType, gpuMemoryMiB, maxSeconds },
          ...(isShared && { gpuShareMilli }),
          ...(gpusMost !== undefined && { gpusMost }),
        },
        caps: quotas.flatMap((quota) => this.caps.get(quota) ?? []),
        reach: [],
        home: [],
        reachId: 0,
        waiting: new Array<number>(this.levels).fill(0),
        isAtHome: undefined,
      };
      this.aim(shape);
      this.shapes.set(key, shape);
    }
    return shape;
  }

  /** Finds the clusters that take such jobs now. */
  private aim(shape: Shape): void {
    const { request } = shape;
    const asked = { ...request, avoid: [] };
    const takes = this.clusters.filter(
      ({ info }) =>
        judgeNow(info, asked, Number.POSITIVE_INFINITY, this.nowMs).fits === 'now' &&
        (this.policy.reach === 'all' || info.labId === request.owner),
    );
    shape.home = takes.filter(({ info }) => info.labId === request.owner);
    shape.reach = [...shape.home, ...takes.filter(({ info }) => info.labId !== request.owner)];
    const which = takes.map(({ index }) => index).join();
    // What one share cannot have says nothing about another, nor about whole GPUs.
    const clusters = sharesGpu(request) ? `${which}/${request.gpuShareMilli}` : which;
    let reachId = this.reachIds.get(clusters);
    if (reachId === undefined) {
      reachId = this.reachIds.size;
      this.reachIds.set(clusters, reachId);
    }
    shape.reachId = reachId;
  }

  /** A cluster went out or came back, or changed otherwise. What ran on it must have been taken off before it shrinks. */
  changeCluster(info: SnapshotCluster, nowMs: number): void {
    this.advance(nowMs);
    const cluster = this.byId.get(info.clusterId);
    if (cluster === undefined) return;
    const gpus = info.capacity?.gpus ?? 0;
    cluster.free += gpus - cluster.gpus;
    cluster.gpus = gpus;
    cluster.info = info;
    this.freed(cluster);
    for (const level of this.waiting) level.clearCounts();
    for (const shape of this.shapes.values()) {
      this.aim(shape);
      for (const [level, jobs] of shape.waiting.entries()) this.waiting[level]?.count(shape, jobs);
    }
    this.shadows.resize(info.clusterId, info.state === 'active' ? gpus : 0, nowMs);
  }

  /** Lets time pass: levels are left behind, long waits are rewarded, debts fall due. */
  advance(nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    this.shadows.advance(this.nowMs);
    const { levelNotes, raiseNotes, debtNotes } = this;
    while (levelNotes.nextMs <= this.nowMs) {
      const { job, number } = levelNotes.pop() as Note;
      if (job.cluster === null || job.starts !== number) continue;
      this.setLevel(job, Math.min(job.level + 1, this.levels - 1));
      this.expectLevel(job);
    }
    while (raiseNotes.nextMs <= this.nowMs) {
      const { job, number } = raiseNotes.pop() as Note;
      if (job.ticket !== number || job.level === 0) continue;
      job.raisedLevels++;
      this.leaveQueue(job);
      this.enqueue(job);
    }
    while (debtNotes.nextMs <= this.nowMs) {
      const { job } = debtNotes.pop() as Note;
      if (job.ticket !== 0 && isOwed(job, this.nowMs)) this.owed.add(job);
    }
  }

  // --- waiting ---

  /** A job joins the queue at the level of what it has had. */
  wait(job: JobNow): void {
    job.raisedLevels = 0;
    this.enqueue(job);
  }

  private enqueue(job: JobNow): void {
    job.level = Math.max(0, this.levelOf(job, this.nowMs) - job.raisedLevels);
    job.ticket = ++this.tickets;
    const queue = job.ownerNow.queues[job.level] as Queue;
    let heap = queue.shapes.get(job.shape);
    if (heap === undefined) {
      heap = new BinaryHeap(ticketBefore);
      queue.shapes.set(job.shape, heap);
    }
    heap.push({ job, number: job.ticket });
    const level = this.waiting[job.level] as WaitingLevel;
    if (queue.size++ === 0) level.owners.add(job.ownerNow);
    job.shape.waiting[job.level] = (job.shape.waiting[job.level] as number) + 1;
    level.count(job.shape, 1);
    const { raiseAfterMs } = this.policy;
    if (raiseAfterMs !== null && job.level > 0) {
      const atMs = job.queuedMs + raiseAfterMs * (job.raisedLevels + 1);
      this.raiseNotes.push(atMs, { job, number: job.ticket });
    }
    this.noteDebt(job);
  }

  private noteDebt(job: JobNow): void {
    const { shadow } = job;
    if (shadow === null || shadow.startedMs === null || shadow.ended || job.ticket === 0) return;
    const atMs =
      shadow.startedMs + timeWithSome(job.servedMs - shadow.servedMs, shadow.gpus, shadow.gpusMost);
    if (atMs <= this.nowMs) this.owed.add(job);
    else this.debtNotes.push(atMs, { job, number: job.ticket });
  }

  private leaveQueue(job: JobNow): void {
    const queue = job.ownerNow.queues[job.level] as Queue;
    const level = this.waiting[job.level] as WaitingLevel;
    if (--queue.size === 0) level.owners.delete(job.ownerNow);
    job.shape.waiting[job.level] = (job.shape.waiting[job.level] as number) - 1;
    level.count(job.shape, -1);
    // Its ticket stays in the heap and is dropped when it comes up.
    job.ticket = 0;
  }

  /** The first of a shape that still waits. */
  headOf(heap: BinaryHeap<Ticket>): JobNow | undefined {
    for (let head = heap.peek(); head !== undefined; head = heap.peek()) {
      if (head.job.ticket === head.number) return head.job;
      heap.pop();
    }
    return undefined;
  }

  // --- running ---

  /** A waiting or new job gets its GPUs. */
  start(job: JobNow, cluster: ClusterNow, slot: number | null = null): void {
    if (job.ticket !== 0) {
      this.leaveQueue(job);
      this.owed.delete(job);
    }
    job.attempt++;
    job.startedMs = this.nowMs;
    job.savedMs = this.nowMs;
    job.slot = slot;
    this.occupy(job, cluster);
  }

  /** Enters a job as it runs already. */
  occupy(job: JobNow, cluster: ClusterNow): void {
    job.cluster = cluster;
    job.starts++;
    job.level = Math.max(0, this.levelOf(job, this.nowMs) - job.raisedLevels);
    job.isProtected = this.shouldProtect(job);
    cluster.running.add(job);
    if (job.replicaOf !== null) {
      const others = this.replicas.get(job.replicaOf);
      if (others === undefined) this.replicas.set(job.replicaOf, [cluster]);
      else others.push(cluster);
    }
    if (job.slot !== null) {
      if (cluster.shared.take(job.slot, job.shareMilli)) {
        cluster.free -= 1;
        this.sharedGpus += 1;
      }
    } else {
      cluster.free -= job.gpus;
      if (job.leaving) cluster.leavingGpus += job.gpus;
      if (job.gpus < job.gpusMost) this.small.add(job);
    }
    countRunning(job.ownerNow, countedGpus(job));
    this.expectLevel(job);
  }

  /** One that runs gets more of the free GPUs of its cluster, as if it had started with so many. */
  enlarge(job: JobNow, gpus: number): void {
    const { cluster } = job;
    if (cluster === null) return;
    const by = gpus - job.gpus;
    cluster.running.remove(job);
    job.gpus = gpus;
    cluster.running.add(job);
    cluster.free -= by;
    countRunning(job.ownerNow, by);
    if (gpus === job.gpusMost) this.small.delete(job);
  }

  /** Whether somebody waits who could start in a cluster with so many GPUs free, whenever their turn is. */
  isAwaited(cluster: ClusterNow, free: number): boolean {
    for (const { request, reach, waiting } of this.shapes.values())
      if (request.gpus <= free && reach.includes(cluster) && waiting.some((jobs) => jobs > 0)) return true;
    return false;
  }

  /** Its state was saved then, or, with `savesEveryMs`, is saved at that rhythm from then on. */
  saved(job: JobNow, savedMs: number): void {
    job.savedMs = savedMs;
    job.cluster?.running.saved(job);
  }

  /** It gives back its GPUs, whatever the reason. */
  release(job: JobNow): void {
    const { cluster } = job;
    if (cluster === null) return;
    cluster.running.remove(job);
    if (job.replicaOf !== null) {
      const others = this.replicas.get(job.replicaOf) ?? [];
      others.splice(others.indexOf(cluster), 1);
    }
    if (job.slot !== null) {
      if (cluster.shared.giveBack(job.slot, job.shareMilli)) {
        cluster.free += 1;
        this.sharedGpus -= 1;
      }
    } else {
      cluster.free += job.gpus;
      if (job.leaving) cluster.leavingGpus -= job.gpus;
      this.small.delete(job);
    }
    countRunning(job.ownerNow, -countedGpus(job));
    job.cluster = null;
    job.gpus = job.shape.request.gpus;
    job.slot = null;
    job.leaving = false;
    job.isProtected = false;
    this.freed(cluster);
  }

  askToLeave(job: JobNow): void {
    if (job.cluster === null || job.leaving) return;
    job.leaving = true;
    job.cluster.running.changed(job);
    job.cluster.leavingGpus += job.gpus;
  }

  private freed({ free }: ClusterNow): void {
    if (free > this.freeAtMost) this.freeAtMost = free;
  }

  /** Finds out what the cluster with most free GPUs has. */
  tightenFree(): void {
    this.freeAtMost = 0;
    for (const cluster of this.clusters) this.freed(cluster);
  }

  /** It is done for good: what its lab would have had alone goes on without it when it has had as much there. */
  finish(job: JobNow, totalMs: number, nowMs: number): void {
    this.release(job);
    this.shadows.ended(job, totalMs, nowMs);
  }

  private setLevel(job: JobNow, level: number): void {
    job.level = level;
    job.cluster?.running.changed(job);
  }

  private levelOf(job: JobNow, nowMs: number): number {
    // What cannot be asked to leave has nothing to gain or lose by a level.
    if (!job.preemptible) return 0;
    const gpuSeconds = (servedMsOf(job, nowMs) * job.gpusMost) / 1000;
    let level = 0;
    for (const bound of this.policy.levelsGpuSeconds) if (gpuSeconds >= bound) level++;
    return level;
  }

  private expectLevel(job: JobNow): void {
    const bound = this.policy.levelsGpuSeconds[job.level + job.raisedLevels];
    if (bound === undefined || !job.preemptible) return;
    const { gpus, gpusMost } = job;
    const atMs = job.startedMs + timeWithSome((bound * 1000) / gpusMost - job.servedMs, gpus, gpusMost);
    this.levelNotes.push(atMs, { job, number: job.starts });
  }

  // --- the schedule that each lab would have had alone ---

  /** Puts a job into the schedule of its lab, new or where it stood; false when it has no place there. */
  shadow(job: JobNow, shadow: ShadowJob, nowMs: number): boolean {
    if (!this.shadows.add(job, shadow, nowMs)) return false;
    // One that runs there since an earlier decision does not move now, and counts all the same.
    this.heedShadow(job, shadow);
    return true;
  }

  /** Told of every move in a shadow. */
  onShadow: ((shadow: ShadowJob) => void) | null = null;

  private shadowChanged(shadow: ShadowJob, nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    this.onShadow?.(shadow);
    if (shadow.real !== null) this.heedShadow(shadow.real, shadow);
  }

  private heedShadow(job: JobNow, shadow: ShadowJob): void {
    if (shadow.ended) return;
    if (job.cluster !== null) {
      const should = this.shouldProtect(job);
      if (should === job.isProtected) return;
      job.isProtected = should;
      job.cluster.running.changed(job);
    } else if (shadow.startedMs === null) this.owed.delete(job);
    else this.noteDebt(job);
  }

  private shouldProtect(job: JobNow): boolean {
    return hasNoLead(job, this.policy.protectLeadMs, this.nowMs);
  }
}

/** GPUs that a job counts for among those of its owner: a part of one is that part. */
function countedGpus({ gpus, shareMilli }: JobNow): number {
  return (gpus * shareMilli) / wholeGpuMilli;
}

/** GPUs that are busy with what the snapshot does not list: nobody can be asked to leave there. */
function busyUnlisted(info: SnapshotCluster): number {
  let gpus = 0;
  for (const busy of Object.values(info.busyGpus)) gpus += busy;
  for (const job of info.running ?? []) gpus -= gpusCounted(job);
  // Parts add up to whole numbers but for the last bit.
  return Math.max(0, Math.ceil(gpus - 1e-6));
}

/** Something to look at again at a time; void when the job has another number of starts, or another ticket, by then. */
interface Note {
  readonly job: JobNow;
  readonly number: number;
}

function ticketBefore(a: Ticket, b: Ticket): boolean {
  return isEarlier(a.job, b.job);
}
