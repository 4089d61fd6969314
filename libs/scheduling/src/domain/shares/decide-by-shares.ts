import type { Decisions, Placement, ShadowMove } from '../decisions.js';
import { timeWithAll } from '../elastic.js';
import { wholeGpuMilli } from '../gpu-share.js';
import type { SharesPolicy } from '../policy.js';
import { GpuRoom } from '../quota.js';
import type { JobRequest, RunningJob, Snapshot, SnapshotShadow, WaitingJob } from '../snapshot.js';
import { type Moves, moveByShares } from './move-by-shares.js';
import { shadowServedMs } from './shadow-silo.js';
import { Situation } from './situation.js';
import type { JobNow, ShadowJob } from './state.js';

/** Builds the situation that a snapshot shows, decides, and says what is to be written. */
export function decideByShares(
  snapshot: Snapshot,
  nowMs: number,
  seed: number,
  policy: SharesPolicy,
): Decisions {
  return decideIn(new Scene(snapshot, nowMs, policy), nowMs, seed).decisions;
}

/** The same with the situation as the decision left it, for explanations. */
export function decideIn(
  scene: Scene,
  nowMs: number,
  seed: number,
): { decisions: Decisions; moves: Moves; situation: Situation } {
  const { situation } = scene;
  const moves = moveByShares(situation, nowMs, seed);
  return {
    situation,
    moves,
    decisions: {
      place: moves.start.map(placementOf),
      preempt: moves.leave.map((leave) => ({
        jobId: leave.job.jobId,
        attempt: leave.job.attempt,
        reason: whyItLeaves(leave),
      })),
      move: [],
      shadow: scene.shadowMoves(),
    },
  };
}

function whyItLeaves({ job, why, forJob }: Moves['leave'][number]): string {
  switch (why) {
    case 'owed':
      return `its GPUs belong to the lab of ${forJob.jobId}, which would be running there by now`;
    case 'level':
      return `its GPUs are for ${forJob.jobId}, which has had less GPU time so far`;
    case 'growth':
      return `it has ${job.gpus} of the ${job.gpusMost} GPUs that it asks for, and as many more are free: it goes on with them`;
  }
}

function placementOf({ jobId, cluster, slot, gpus, gpusMost, shape: { caps } }: JobNow): Placement {
  return {
    jobId,
    clusterId: cluster?.info.clusterId ?? '',
    ...(slot !== null && { gpuSlot: slot }),
    ...(gpus < gpusMost && { gpus }),
    ...(caps.length > 0 && { quotas: caps.map(({ key }) => key) }),
  };
}

const nowhere = { ended: true, clusterId: null, startedMs: null, servedMs: 0 };

/** Where a new job would stand in the schedule of its lab. */
const atTheEnd: SnapshotShadow = { clusterId: null, startedMs: null, servedMs: 0 };

/** A job on its way into the schedule of its lab. */
interface Entering {
  readonly job: JobNow | null;
  readonly shadow: ShadowJob;
  readonly owner: string;
  /** It waits under these quotas of GPUs; empty where none of them holds it back there. */
  readonly quotas: readonly string[];
}

/** A snapshot as a situation. */
export class Scene {
  readonly situation: Situation;
  readonly jobs = new Map<string, JobNow>();
  private readonly moved = new Set<ShadowJob>();
  /** Jobs that wait or run and have no place in the shadow of their lab. */
  private readonly homeless: string[] = [];
  /** Jobs under quotas of GPUs that have none so far, and get one when they start there. */
  private readonly entering = new Set<ShadowJob>();
  /** Jobs that stopped in the shadow of their lab, since a quota of GPUs keeps them from running. */
  private readonly stopped: ShadowMove[] = [];

  constructor(
    snapshot: Snapshot,
    private readonly nowMs: number,
    policy: SharesPolicy,
  ) {
    const { clusters, owners, quotas = [] } = snapshot;
    const situation = new Situation(clusters, owners, policy, nowMs, quotas);
    this.situation = situation;
    const shadows: Entering[] = [];
    for (const cluster of situation.clusters) {
      for (const running of cluster.info.running ?? []) {
        const job = this.jobOf(running);
        situation.occupy(job, cluster);
        if (running.shadow !== undefined) shadows.push(this.enteringOf(job, running.shadow, []));
      }
    }
    for (const waiting of [...snapshot.waiting].sort((a, b) => (a.jobId < b.jobId ? -1 : 1))) {
      const job = this.jobOf(waiting);
      situation.wait(job);
      const keys = job.shape.caps.map(({ key }) => key);
      if (waiting.shadow !== undefined) shadows.push(this.enteringOf(job, waiting.shadow, keys));
      else if (keys.length > 0) {
        const one = this.enteringOf(job, atTheEnd, keys);
        this.entering.add(one.shadow);
        shadows.push(one);
      }
    }
    for (const lone of snapshot.loneShadows ?? []) {
      const shadow = this.shadowJob(lone.jobId, lone, lone.submittedMs, lone, lone.totalMs);
      shadows.push({ job: null, shadow, owner: lone.owner, quotas: lone.quotas ?? [] });
    }
    if (!policy.guarantee) return;
    situation.onShadow = (shadow) => this.moved.add(shadow);
    this.fillShadows(shadows, new GpuRoom(quotas));
  }

  private enteringOf(job: JobNow, at: SnapshotShadow, quotas: readonly string[]): Entering {
    const { request } = job.shape;
    const shadow = this.shadowJob(job.jobId, request, job.submittedMs, at, null);
    return { job, shadow, owner: request.owner, quotas };
  }

  /** @param room what quotas leave to those that wait: a lab alone would stand under them, too */
  private fillShadows(shadows: readonly Entering[], room: GpuRoom): void {
    const { situation, nowMs } = this;
    // What runs there takes its place first, then the queue in its order.
    const inOrder = [...shadows].sort(
      (a, b) =>
        Number(a.shadow.startedMs === null) - Number(b.shadow.startedMs === null) ||
        a.shadow.queuedMs - b.shadow.queuedMs ||
        (a.shadow.jobId < b.shadow.jobId ? -1 : 1),
    );
    for (const { job, shadow, owner, quotas } of inOrder) {
      // Where no decision looks it has no turn; it comes again when it has one.
      const heldBack = quotas.length > 0 && (job === null || room.of(quotas) < shadow.gpus);
      if (heldBack) {
        this.holdBack(shadow);
        continue;
      }
      const has =
        job === null
          ? situation.shadows.addEnded(situation.ownerOf(owner), shadow, nowMs)
          : situation.shadow(job, shadow, nowMs);
      if (has) room.take(quotas, shadow.gpus);
      else if (!this.entering.has(shadow)) this.homeless.push(shadow.jobId);
    }
  }

  /** A quota keeps the job from running: at home, too, it would not run, nor stand before others. */
  private holdBack(shadow: ShadowJob): void {
    const { jobId, startedMs, servedMs } = shadow;
    if (startedMs !== null) {
      const had = shadowServedMs(shadow, this.nowMs);
      this.stopped.push({ jobId, ended: false, clusterId: null, startedMs: null, servedMs: had });
    } else if (servedMs === 0 && !this.entering.has(shadow)) this.homeless.push(jobId);
  }

  private jobOf(from: WaitingJob | RunningJob): JobNow {
    const runs = 'attempt' in from;
    const isElastic = runs && from.gpusLeast !== undefined;
    const shape = this.situation.shapeOf(
      isElastic ? { ...from, gpus: from.gpusLeast ?? from.gpus } : from,
      from.quotas,
    );
    const shareMilli = from.gpuShareMilli ?? wholeGpuMilli;
    const job: JobNow = {
      jobId: from.jobId,
      index: this.jobs.size,
      shape,
      gpus: from.gpus,
      gpusMost: from.gpusMost ?? from.gpus,
      shareMilli,
      slot: runs && shareMilli < wholeGpuMilli ? (from.gpuSlot ?? null) : null,
      ownerNow: this.situation.ownerOf(from.owner),
      priority: from.priority ?? 0,
      submittedMs: from.submittedMs,
      // Its part of a GPU is of no use to a job that wants the whole: nobody asks it to leave.
      preemptible: (from.preemptible ?? false) && shareMilli === wholeGpuMilli,
      servedMs: from.servedMs ?? 0,
      queuedMs: runs ? from.startedMs : (from.queuedMs ?? from.submittedMs),
      retryAtMs: runs ? null : from.retryAtMs,
      avoid: runs ? [] : from.avoid,
      replicaOf: from.replicaOf ?? null,
      cachedBytes: runs ? null : (from.cachedBytes ?? null),
      raisedLevels: 0,
      level: 0,
      ticket: 0,
      attempt: runs ? from.attempt : 0,
      startedMs: runs ? from.startedMs : 0,
      savedMs: runs ? (from.savedMs ?? from.startedMs) : 0,
      savesEveryMs: null,
      cluster: null,
      at: 0,
      leaving: runs && (from.leaving ?? false),
      isProtected: false,
      starts: 0,
      shadow: null,
    };
    this.jobs.set(job.jobId, job);
    return job;
  }

  private shadowJob(
    jobId: string,
    { gpus, gpusMost = gpus, owner }: Pick<JobRequest, 'gpus' | 'gpusMost' | 'owner'>,
    submittedMs: number,
    at: SnapshotShadow,
    totalMs: number | null,
  ): ShadowJob {
    const isThere =
      at.clusterId !== null && this.situation.shadows.has(this.situation.ownerOf(owner), at.clusterId);
    const startedMs = isThere ? at.startedMs : null;
    // A cluster that is no more: what it had there it had.
    const hadMs = isThere || at.startedMs === null ? 0 : Math.max(0, this.nowMs - at.startedMs);
    return {
      jobId,
      gpus,
      gpusMost,
      queuedMs: submittedMs,
      servedMs: at.servedMs + timeWithAll(hadMs, gpus, gpusMost),
      startedMs,
      totalMs,
      endsMs: null,
      clusterId: startedMs === null ? null : at.clusterId,
      ended: false,
      real: null,
    };
  }

  /** What is to be written of the shadows. */
  shadowMoves(): ShadowMove[] {
    const moves: ShadowMove[] = this.homeless.map((jobId) => ({ ...nowhere, jobId }));
    moves.push(...this.stopped);
    for (const shadow of this.moved) {
      const { jobId, ended, clusterId, startedMs, servedMs } = shadow;
      if (ended) moves.push({ ...nowhere, jobId });
      else {
        const enters = this.entering.has(shadow);
        moves.push({ jobId, ended, clusterId, startedMs, servedMs, ...(enters && { enters }) });
      }
    }
    return moves;
  }
}
