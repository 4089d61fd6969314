import { leastEntitledGpus } from '../entitlements.js';
import { judgeForEver, judgeNow } from '../judge-cluster.js';
import type { SharesPolicy } from '../policy.js';
import { consortium, type JobRequest, type Owner, type OwnerUse, type SnapshotCluster } from '../snapshot.js';
import { BinaryHeap } from './binary-heap.js';
import { type ShadowJob, ShadowSilo, shadowServedMs } from './shadow-silo.js';

/** Jobs that the same clusters take, for the same owner, with as many GPUs. */
export interface Shape {
  readonly request: JobRequest;
  /** Clusters that take such jobs now, the owner's own first. */
  reach: ClusterNow[];
  /** Such clusters that are the owner's own. */
  home: ClusterNow[];
  /** The same for shapes with the same reach. */
  reachKey: string;
  /** Whether its lab alone could run it; undefined until somebody asks. */
  isAtHome: boolean | undefined;
}

/** A cluster as it changes. */
export interface ClusterNow {
  readonly index: number;
  info: SnapshotCluster;
  gpus: number;
  free: number;
  /** GPUs of jobs that have been asked to leave. */
  leavingGpus: number;
  readonly running: JobNow[];
  /** GPUs of running jobs that may be asked to leave, by their level. */
  readonly yieldingGpus: number[];
  /** GPUs set aside in the present decision for those whose turn came earlier, of what is being vacated. */
  claimedGpus: number;
  /** GPUs kept free in the present decision for a gang, and when it would have them at the latest. */
  reservedGpus: number;
  reservedFromMs: number;
}

export interface OwnerNow {
  readonly owner: Owner;
  entitledGpus: number;
  recentGpuSeconds: number;
  creditGpuSeconds: number;
  runningGpus: number;
  /** Waiting jobs by level. */
  readonly queues: Queue[];
  /** What it would do alone; null for who has no cluster. */
  silo: ShadowSilo | null;
}

/** Waiting jobs of one owner and level, each shape in its order. */
export interface Queue {
  readonly shapes: Map<Shape, BinaryHeap<Ticket>>;
  size: number;
}

/** A place in a queue; void as soon as the job has another one, or runs. */
export interface Ticket {
  readonly job: JobNow;
  readonly number: number;
}

/** A job as it changes. */
export interface JobNow {
  readonly jobId: string;
  /** Whatever the caller numbers its jobs by. */
  readonly index: number;
  readonly shape: Shape;
  readonly ownerNow: OwnerNow;
  readonly priority: number;
  readonly submittedMs: number;
  readonly preemptible: boolean;
  /** Running time before the present attempt. */
  servedMs: number;
  queuedMs: number;
  retryAtMs: number | null;
  avoid: readonly string[];
  /** Levels that it was raised for having waited long. */
  raisedLevels: number;
  level: number;
  /** Counts its places in queues; 0 while it runs. */
  ticket: number;
  attempt: number;
  startedMs: number;
  /** When its state was last saved, or, with `savesEveryMs`, since when it saves at that rhythm. */
  savedMs: number;
  readonly savesEveryMs: number | null;
  cluster: ClusterNow | null;
  leaving: boolean;
  /** It has no more than it would have had at home: nobody may ask it to leave. */
  isProtected: boolean;
  /** Counts its starts, to know outdated notes about it. */
  starts: number;
  shadow: ShadowJob | null;
}

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
  /** Owners with waiting jobs at each level. */
  readonly waitingAtLevel: Set<OwnerNow>[];
  /** Fewest GPUs for which nobody could be asked to leave, and when, by level and clusters in reach. */
  readonly askedInVain: Map<string, { gpus: number; atMs: number }>[];
  private readonly shapes = new Map<string, Shape>();
  private readonly byId = new Map<string, ClusterNow>();
  private readonly ownersById = new Map<Owner, OwnerNow>();
  private tickets = 0;
  private readonly notes = new BinaryHeap<Note>((a, b) => a.atMs < b.atMs);
  private readonly silos: OwnerNow[] = [];

  constructor(
    clusters: readonly SnapshotCluster[],
    owners: readonly OwnerUse[],
    readonly policy: SharesPolicy,
    private nowMs: number,
  ) {
    this.levels = policy.levelsGpuSeconds.length + 1;
    this.waitingAtLevel = Array.from({ length: this.levels }, () => new Set<OwnerNow>());
    this.askedInVain = Array.from({ length: this.levels }, () => new Map());
    this.clusters = clusters.map((info, index) => ({
      index,
      info,
      gpus: info.capacity?.gpus ?? 0,
      free: (info.capacity?.gpus ?? 0) - busyUnlisted(info),
      leavingGpus: 0,
      running: [],
      yieldingGpus: new Array<number>(this.levels).fill(0),
      claimedGpus: 0,
      reservedGpus: 0,
      reservedFromMs: 0,
    }));
    for (const cluster of this.clusters) this.byId.set(cluster.info.clusterId, cluster);
    for (const use of owners) Object.assign(this.ownerOf(use.owner), use);
    for (const { info } of this.clusters) {
      for (const [owner, gpus] of Object.entries(info.busyGpus)) this.ownerOf(owner).runningGpus += gpus;
      for (const job of info.running ?? []) this.ownerOf(job.owner).runningGpus -= job.gpus;
    }
    if (policy.guarantee) for (const owner of this.owners) this.openSilo(owner);
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
        queues: Array.from({ length: this.levels }, () => ({ shapes: new Map(), size: 0 })),
        silo: null,
      };
      this.ownersById.set(owner, now);
      this.owners.push(now);
    }
    return now;
  }

  private openSilo(owner: OwnerNow): void {
    if (owner.owner === consortium) return;
    const own = this.clusters.filter(({ info }) => info.labId === owner.owner && info.state !== 'retired');
    if (own.length === 0) return;
    // What a lab pledged to the consortium it would not have for itself.
    const brought = own.reduce((sum, { gpus }) => sum + gpus, 0);
    const kept = Math.min(1, owner.entitledGpus / Math.max(1, brought));
    owner.silo = new ShadowSilo(
      own.map(({ info, gpus }) => ({ clusterId: info.clusterId, gpus: Math.floor(gpus * kept + 1e-9) })),
      { changed: (shadow, nowMs) => this.shadowChanged(shadow, nowMs) },
    );
    this.silos.push(owner);
  }

  /** Shapes are few; jobs are many. */
  shapeOf(request: JobRequest): Shape {
    const { kind, owner, gpus, gpuType, gpuMemoryMiB, maxSeconds } = request;
    const key = `${owner}/${gpus}/${kind}/${gpuType}/${gpuMemoryMiB}/${maxSeconds}`;
    let shape = this.shapes.get(key);
    if (shape === undefined) {
      shape = {
        request: { kind, owner, gpus, gpuType, gpuMemoryMiB, maxSeconds },
        reach: [],
        home: [],
        reachKey: '',
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
    shape.reachKey = takes.map(({ index }) => index).join();
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
    for (const shape of this.shapes.values()) this.aim(shape);
    for (const { silo } of this.silos)
      silo?.resize(info.clusterId, info.state === 'active' ? gpus : 0, nowMs);
  }

  /** Lets time pass: levels are left behind, long waits are rewarded, debts fall due. */
  advance(nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    for (const owner of this.silos) owner.silo?.advance(this.nowMs);
    for (
      let note = this.notes.peek();
      note !== undefined && note.atMs <= this.nowMs;
      note = this.notes.peek()
    ) {
      this.notes.pop();
      this.heed(note);
    }
  }

  private heed({ kind, job, starts, ticket }: Note): void {
    if (kind === 'level') {
      if (job.cluster === null || job.starts !== starts) return;
      this.setLevel(job, Math.min(job.level + 1, this.levels - 1));
      this.expectLevel(job);
    } else if (kind === 'raise') {
      if (job.ticket !== ticket || job.level === 0) return;
      job.raisedLevels++;
      this.leaveQueue(job);
      this.enqueue(job);
    } else if (job.ticket !== 0 && this.isOwed(job)) {
      this.owed.add(job);
    }
  }

  /** How far a job is behind what it would have had at home, ms. */
  debtMs(job: JobNow): number {
    return job.shadow === null ? 0 : shadowServedMs(job.shadow, this.nowMs) - this.servedMs(job, this.nowMs);
  }

  private isOwed(job: JobNow): boolean {
    const { shadow } = job;
    if (shadow === null || shadow.startedMs === null || shadow.ended) return false;
    return shadowServedMs(shadow, this.nowMs) >= job.servedMs;
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
    if (queue.size++ === 0) this.waitingAtLevel[job.level]?.add(job.ownerNow);
    const { raiseAfterMs } = this.policy;
    if (raiseAfterMs !== null && job.level > 0) {
      const atMs = job.queuedMs + raiseAfterMs * (job.raisedLevels + 1);
      this.notes.push({ atMs, kind: 'raise', job, starts: job.starts, ticket: job.ticket });
    }
    this.noteDebt(job);
  }

  private noteDebt(job: JobNow): void {
    const { shadow } = job;
    if (shadow === null || shadow.startedMs === null || shadow.ended || job.ticket === 0) return;
    const atMs = shadow.startedMs + job.servedMs - shadow.servedMs;
    if (atMs <= this.nowMs) this.owed.add(job);
    else this.notes.push({ atMs, kind: 'debt', job, starts: job.starts, ticket: job.ticket });
  }

  private leaveQueue(job: JobNow): void {
    const queue = job.ownerNow.queues[job.level] as Queue;
    if (--queue.size === 0) this.waitingAtLevel[job.level]?.delete(job.ownerNow);
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
  start(job: JobNow, cluster: ClusterNow): void {
    if (job.ticket !== 0) {
      this.leaveQueue(job);
      this.owed.delete(job);
    }
    job.attempt++;
    job.startedMs = this.nowMs;
    job.savedMs = this.nowMs;
    this.occupy(job, cluster);
  }

  /** Enters a job as it runs already. */
  occupy(job: JobNow, cluster: ClusterNow): void {
    job.cluster = cluster;
    job.starts++;
    job.level = Math.max(0, this.levelOf(job, this.nowMs) - job.raisedLevels);
    job.isProtected = this.shouldProtect(job);
    cluster.running.push(job);
    cluster.free -= job.shape.request.gpus;
    job.ownerNow.runningGpus += job.shape.request.gpus;
    if (job.leaving) cluster.leavingGpus += job.shape.request.gpus;
    this.countYielding(job, 1);
    this.expectLevel(job);
  }

  /** It gives back its GPUs, whatever the reason. */
  release(job: JobNow): void {
    const { cluster } = job;
    if (cluster === null) return;
    this.countYielding(job, -1);
    const at = cluster.running.indexOf(job);
    const last = cluster.running.pop();
    if (last !== undefined && last !== job) cluster.running[at] = last;
    cluster.free += job.shape.request.gpus;
    if (job.leaving) cluster.leavingGpus -= job.shape.request.gpus;
    job.ownerNow.runningGpus -= job.shape.request.gpus;
    job.cluster = null;
    job.leaving = false;
    job.isProtected = false;
  }

  askToLeave(job: JobNow): void {
    if (job.cluster === null || job.leaving) return;
    this.countYielding(job, -1);
    job.leaving = true;
    job.cluster.leavingGpus += job.shape.request.gpus;
  }

  /** It is done for good: what its lab would have had alone goes on without it when it has had as much there. */
  finish(job: JobNow, totalMs: number, nowMs: number): void {
    this.release(job);
    if (job.shadow !== null) job.ownerNow.silo?.ended(job.shadow, totalMs, nowMs);
  }

  private countYielding(job: JobNow, by: 1 | -1): void {
    const { cluster } = job;
    if (cluster === null || job.leaving || job.isProtected || !job.preemptible) return;
    cluster.yieldingGpus[job.level] =
      (cluster.yieldingGpus[job.level] as number) + by * job.shape.request.gpus;
  }

  private setLevel(job: JobNow, level: number): void {
    this.countYielding(job, -1);
    job.level = level;
    this.countYielding(job, 1);
  }

  /** Service that it has had by now, ms. */
  servedMs(job: JobNow, nowMs: number): number {
    return job.servedMs + (job.cluster === null ? 0 : Math.max(0, nowMs - job.startedMs));
  }

  private levelOf(job: JobNow, nowMs: number): number {
    // What cannot be asked to leave has nothing to gain or lose by a level.
    if (!job.preemptible) return 0;
    const gpuSeconds = (this.servedMs(job, nowMs) * job.shape.request.gpus) / 1000;
    let level = 0;
    for (const bound of this.policy.levelsGpuSeconds) if (gpuSeconds >= bound) level++;
    return level;
  }

  private expectLevel(job: JobNow): void {
    const bound = this.policy.levelsGpuSeconds[job.level + job.raisedLevels];
    if (bound === undefined || !job.preemptible) return;
    const atMs = job.startedMs + (bound * 1000) / job.shape.request.gpus - job.servedMs;
    this.notes.push({ atMs, kind: 'level', job, starts: job.starts, ticket: 0 });
  }

  // --- the schedule that each lab would have had alone ---

  /** Puts a job into the shadow of its lab, new or where it stood; false when it has no place there. */
  shadow(job: JobNow, shadow: ShadowJob, nowMs: number): boolean {
    const { silo } = job.ownerNow;
    if (silo === null || !this.hasPlaceAtHome(job.shape) || !silo.couldHold(shadow.gpus)) return false;
    job.shadow = shadow;
    this.shadowed.set(shadow, job);
    silo.add(shadow, nowMs);
    // One that runs there since an earlier decision does not move now, and counts all the same.
    this.heedShadow(job, shadow);
    return true;
  }

  /** The shadow of a job that has really ended, or waits where no decision looks yet. */
  shadowEnded(owner: Owner, shadow: ShadowJob, nowMs: number): boolean {
    const { silo } = this.ownerOf(owner);
    if (silo === null || !silo.couldHold(shadow.gpus)) return false;
    silo.add(shadow, nowMs);
    return true;
  }
  private readonly shadowed = new WeakMap<ShadowJob, JobNow>();
  /** Told of every move in a shadow. */
  onShadow: ((shadow: ShadowJob) => void) | null = null;

  private shadowChanged(shadow: ShadowJob, nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    this.onShadow?.(shadow);
    const job = this.shadowed.get(shadow);
    if (job !== undefined) this.heedShadow(job, shadow);
  }

  private heedShadow(job: JobNow, shadow: ShadowJob): void {
    if (shadow.ended) return;
    if (job.cluster !== null) {
      const should = this.shouldProtect(job);
      if (should === job.isProtected) return;
      this.countYielding(job, -1);
      job.isProtected = should;
      this.countYielding(job, 1);
    } else if (shadow.startedMs === null) this.owed.delete(job);
    else this.noteDebt(job);
  }

  /** While both run, real and shadow, the lead of the real one stays as it is. */
  private shouldProtect(job: JobNow): boolean {
    const { shadow } = job;
    if (shadow === null || shadow.startedMs === null || shadow.ended) return false;
    return this.servedMs(job, this.nowMs) - shadowServedMs(shadow, this.nowMs) < this.policy.protectLeadMs;
  }

  /** Whether a job fits the shadow of its lab at all. */
  private hasPlaceAtHome(shape: Shape): boolean {
    shape.isAtHome ??=
      shape.request.kind !== 'serve' &&
      this.clusters.some(
        ({ info }) => info.labId === shape.request.owner && judgeForEver(info, shape.request).fits === 'now',
      );
    return shape.isAtHome;
  }
}

/** GPUs that are busy with what the snapshot does not list: nobody can be asked to leave there. */
function busyUnlisted(info: SnapshotCluster): number {
  let gpus = 0;
  for (const busy of Object.values(info.busyGpus)) gpus += busy;
  for (const job of info.running ?? []) gpus -= job.gpus;
  return Math.max(0, gpus);
}

interface Note {
  readonly atMs: number;
  readonly kind: 'level' | 'raise' | 'debt';
  readonly job: JobNow;
  readonly starts: number;
  readonly ticket: number;
}

function ticketBefore(a: Ticket, b: Ticket): boolean {
  const [x, y] = [a.job, b.job];
  if (x.priority !== y.priority) return x.priority > y.priority;
  if (x.submittedMs !== y.submittedMs) return x.submittedMs < y.submittedMs;
  return x.jobId < y.jobId;
}
