import type { SharesPolicy } from '../domain/policy.js';
import { moveByShares } from '../domain/shares/move-by-shares.js';
import { Situation } from '../domain/shares/situation.js';
import type { JobNow, Shape } from '../domain/shares/state.js';
import { TimeHeap } from '../domain/shares/time-heap.js';
import type { ClusterPolicy, SnapshotCluster } from '../domain/snapshot.js';
import {
  checkpointEveryMs,
  type Federation,
  type FederationJob,
  type FederationRun,
  restartOverheadMs,
} from './federation.js';

/** What stopping a job costs. */
export interface RestartCosts {
  readonly checkpointEveryMs: number;
  restartOverheadMs(gpus: number): number;
}

const open: ClusterPolicy = {
  kinds: ['train'],
  labIds: null,
  consortium: true,
  gpusPerJobMax: null,
  secondsPerJobMax: null,
  hoursUtc: null,
};

/** No job says how long it will take. */
const unknownSeconds = 31_536_000;

/**
 * Replays a federation through the decision of production under a simulated clock. Durations are known to the world
 * alone: the decision sees what has been submitted, what runs, and what each job has had.
 */
export function simulateFederation(
  federation: Federation,
  policy: SharesPolicy,
  seed: number,
  onProgress: (ended: number, all: number) => void = () => undefined,
  costs: RestartCosts = { checkpointEveryMs, restartOverheadMs },
): FederationRun {
  return new World(federation, policy, seed, onProgress, costs).run();
}

/** What happens at one time, in this order: ends, outages, returns. */
type EventKind = 0 | 1 | 2;
const kinds = 3;

/** Times are whole milliseconds, so time and order are one number. */
function turnOf(atMs: number, kind: EventKind): number {
  return atMs * kinds + kind;
}

const progressEvery = 10_000;

class World {
  private readonly situation: Situation;
  /** Ends of running jobs by their index, void where `endsMs` says otherwise by then; outages and returns by lab. */
  private readonly events = new TimeHeap<number>();
  private readonly jobs: readonly FederationJob[];
  private readonly now: (JobNow | undefined)[];
  private readonly doneMs: Float64Array;
  private readonly overheadMs: Float64Array;
  private readonly endMs: Float64Array;
  /** When the present attempt of a job will end; NaN while it does not run. */
  private readonly endsMs: Float64Array;
  private readonly shapes: Map<number, Shape>[];
  private ended = 0;
  private preemptions = 0;
  private lostGpuMs = 0;
  private decisions = 0;

  constructor(
    private readonly federation: Federation,
    private readonly policy: SharesPolicy,
    private readonly seed: number,
    private readonly onProgress: (ended: number, all: number) => void,
    private readonly costs: RestartCosts,
  ) {
    this.jobs = federation.jobs;
    this.now = new Array<JobNow | undefined>(this.jobs.length);
    this.doneMs = new Float64Array(this.jobs.length);
    this.overheadMs = new Float64Array(this.jobs.length);
    this.endMs = new Float64Array(this.jobs.length);
    this.endsMs = new Float64Array(this.jobs.length).fill(Number.NaN);
    this.shapes = federation.labIds.map(() => new Map());
    this.situation = new Situation(
      federation.labIds.map((_, lab) => this.clusterOf(lab, 'active')),
      federation.labIds.map((owner, lab) => ({
        owner,
        entitledGpus: federation.gpusOfLabs[lab] ?? 0,
        recentGpuSeconds: 0,
        creditGpuSeconds: 0,
      })),
      policy,
      0,
    );
    for (const { lab, fromMs, toMs } of federation.outages) {
      this.events.push(turnOf(fromMs, 1), lab);
      this.events.push(turnOf(toMs, 2), lab);
    }
  }

  private clusterOf(lab: number, state: 'active' | 'down'): SnapshotCluster {
    const labId = this.federation.labIds[lab] ?? '';
    const gpus = this.federation.gpusOfLabs[lab] ?? 0;
    return {
      clusterId: `cluster of ${labId}`,
      name: `cluster of ${labId}`,
      labId,
      state,
      capacity: { gpus, gpuType: 'gpu', gpuMemoryMiB: null, policy: open },
      busyGpus: {},
      running: [],
    };
  }

  run(): FederationRun {
    const { jobs, events, situation } = this;
    let next = 0;
    for (;;) {
      const nowMs = Math.min(
        jobs[next]?.submitMs ?? Number.POSITIVE_INFINITY,
        Math.floor(events.nextMs / kinds),
      );
      if (nowMs === Number.POSITIVE_INFINITY || this.ended === jobs.length) break;
      situation.advance(nowMs);
      for (let turn = events.nextMs; turn < turnOf(nowMs + 1, 0); turn = events.nextMs)
        this.heed((turn % kinds) as EventKind, events.pop() as number, nowMs);
      for (; next < jobs.length && (jobs[next] as FederationJob).submitMs <= nowMs; next++)
        this.submit(next, nowMs);
      this.decide(nowMs);
    }
    this.onProgress(this.ended, jobs.length);
    const { endMs, preemptions, lostGpuMs, decisions } = this;
    return { endMs, preemptions, lostGpuMs, decisions };
  }

  private heed(kind: EventKind, of: number, nowMs: number): void {
    if (kind === 0) {
      this.end(of, nowMs);
      return;
    }
    if (kind === 1)
      for (const job of [...(this.situation.clusters[of]?.running.jobs ?? [])]) this.requeue(job, nowMs);
    this.situation.changeCluster(this.clusterOf(of, kind === 1 ? 'down' : 'active'), nowMs);
  }

  private submit(index: number, nowMs: number): void {
    const { gpus, lab, submitMs } = this.jobs[index] as FederationJob;
    const owner = this.federation.labIds[lab] ?? '';
    let shape = this.shapes[lab]?.get(gpus);
    if (shape === undefined) {
      const request = { kind: 'train', owner, gpus, gpuType: null, gpuMemoryMiB: null } as const;
      shape = this.situation.shapeOf({ ...request, maxSeconds: unknownSeconds });
      this.shapes[lab]?.set(gpus, shape);
    }
    const jobId = String(index).padStart(8, '0');
    const job: JobNow = {
      jobId,
      index,
      shape,
      gpus,
      gpusMost: gpus,
      shareMilli: 1000,
      slot: null,
      ownerNow: this.situation.ownerOf(owner),
      priority: 0,
      submittedMs: submitMs,
      preemptible: true,
      servedMs: 0,
      queuedMs: submitMs,
      retryAtMs: null,
      avoid: [],
      replicaOf: null,
      cachedBytes: null,
      raisedLevels: 0,
      level: 0,
      ticket: 0,
      attempt: 0,
      startedMs: 0,
      savedMs: 0,
      savesEveryMs: this.costs.checkpointEveryMs,
      cluster: null,
      at: 0,
      leaving: false,
      isProtected: false,
      starts: 0,
      shadow: null,
    };
    this.now[index] = job;
    this.situation.wait(job);
    if (!this.policy.guarantee) return;
    const nowhere = {
      servedMs: 0,
      startedMs: null,
      totalMs: null,
      clusterId: null,
      ended: false,
      endsMs: null,
      real: null,
    };
    this.situation.shadow(job, { jobId, gpus, gpusMost: gpus, queuedMs: submitMs, ...nowhere }, nowMs);
  }

  /** Decides until nobody is asked to leave any more; who is asked leaves at once. */
  private decide(nowMs: number): void {
    for (;;) {
      const moves = moveByShares(this.situation, nowMs, this.seed);
      this.decisions++;
      for (const job of moves.start) {
        const overheadMs = this.overheadMs[job.index] ?? 0;
        const leftMs = (this.jobs[job.index] as FederationJob).durationMs - (this.doneMs[job.index] ?? 0);
        this.situation.saved(job, nowMs + overheadMs);
        const endsMs = nowMs + overheadMs + leftMs;
        this.endsMs[job.index] = endsMs;
        this.events.push(turnOf(endsMs, 0), job.index);
      }
      if (moves.leave.length === 0) return;
      for (const { job } of moves.leave) this.requeue(job, nowMs);
    }
  }

  /** A running job stops: work since its last checkpoint is lost, and it waits again. */
  private requeue(job: JobNow, nowMs: number): void {
    const { index } = job;
    const { gpus } = job.shape.request;
    const heldMs = nowMs - job.startedMs;
    const overheadMs = Math.min(this.overheadMs[index] ?? 0, heldMs);
    const ranMs = heldMs - overheadMs;
    const lostMs = ranMs % this.costs.checkpointEveryMs;
    this.lostGpuMs += (lostMs + overheadMs) * gpus;
    this.doneMs[index] = (this.doneMs[index] ?? 0) + ranMs - lostMs;
    this.overheadMs[index] = this.costs.restartOverheadMs(gpus);
    this.endsMs[index] = Number.NaN;
    this.situation.release(job);
    job.servedMs = this.doneMs[index] ?? 0;
    job.queuedMs = nowMs;
    this.situation.wait(job);
    this.preemptions++;
  }

  private end(index: number, nowMs: number): void {
    const job = this.now[index];
    if (job === undefined || this.endsMs[index] !== nowMs) return;
    this.lostGpuMs += (this.overheadMs[index] ?? 0) * job.shape.request.gpus;
    this.situation.finish(job, (this.jobs[index] as FederationJob).durationMs, nowMs);
    this.endMs[index] = nowMs;
    this.now[index] = undefined;
    if (++this.ended % progressEvery === 0) this.onProgress(this.ended, this.jobs.length);
  }
}
