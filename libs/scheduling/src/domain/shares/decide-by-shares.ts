import type { Decisions, Placement, ShadowMove } from '../decisions.js';
import { wholeGpuMilli } from '../gpu-share.js';
import type { SharesPolicy } from '../policy.js';
import type { JobRequest, RunningJob, Snapshot, SnapshotShadow, WaitingJob } from '../snapshot.js';
import { type Moves, moveByShares } from './move-by-shares.js';
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
      preempt: moves.leave.map(({ job, forJob, owed }) => ({
        jobId: job.jobId,
        attempt: job.attempt,
        reason: owed
          ? `its GPUs belong to the lab of ${forJob.jobId}, which would be running there by now`
          : `its GPUs are for ${forJob.jobId}, which has had less GPU time so far`,
      })),
      move: [],
      shadow: scene.shadowMoves(),
    },
  };
}

function placementOf({ jobId, cluster, slot }: JobNow): Placement {
  const clusterId = cluster?.info.clusterId ?? '';
  return slot === null ? { jobId, clusterId } : { jobId, clusterId, gpuSlot: slot };
}

const nowhere = { ended: true, clusterId: null, startedMs: null, servedMs: 0 };

/** A snapshot as a situation. */
export class Scene {
  readonly situation: Situation;
  readonly jobs = new Map<string, JobNow>();
  private readonly moved = new Set<ShadowJob>();
  /** Jobs that wait or run and have no place in the shadow of their lab. */
  private readonly homeless: string[] = [];

  constructor(
    snapshot: Snapshot,
    private readonly nowMs: number,
    policy: SharesPolicy,
  ) {
    const situation = new Situation(snapshot.clusters, snapshot.owners, policy, nowMs);
    this.situation = situation;
    const shadows: { job: JobNow | null; shadow: ShadowJob; owner: string }[] = [];
    const shadowOf = (job: JobNow, at: SnapshotShadow | undefined): void => {
      if (at === undefined || !policy.guarantee) return;
      shadows.push({
        job,
        shadow: this.shadowJob(job.jobId, job.shape.request, job.submittedMs, at, null),
        owner: job.shape.request.owner,
      });
    };
    for (const cluster of situation.clusters) {
      for (const running of cluster.info.running ?? []) {
        const job = this.jobOf(running);
        situation.occupy(job, cluster);
        shadowOf(job, running.shadow);
      }
    }
    for (const waiting of [...snapshot.waiting].sort((a, b) => (a.jobId < b.jobId ? -1 : 1))) {
      const job = this.jobOf(waiting);
      situation.wait(job);
      shadowOf(job, waiting.shadow);
    }
    for (const lone of policy.guarantee ? (snapshot.loneShadows ?? []) : []) {
      const shadow = this.shadowJob(lone.jobId, lone, lone.submittedMs, lone, lone.totalMs);
      shadows.push({ job: null, shadow, owner: lone.owner });
    }
    situation.onShadow = (shadow) => this.moved.add(shadow);
    // What runs there takes its place first, then the queue in its order.
    shadows.sort(
      (a, b) =>
        Number(a.shadow.startedMs === null) - Number(b.shadow.startedMs === null) ||
        a.shadow.queuedMs - b.shadow.queuedMs ||
        (a.shadow.jobId < b.shadow.jobId ? -1 : 1),
    );
    for (const { job, shadow, owner } of shadows) {
      const has =
        job === null
          ? situation.shadows.addEnded(situation.ownerOf(owner), shadow, nowMs)
          : situation.shadow(job, shadow, nowMs);
      if (!has) this.homeless.push(shadow.jobId);
    }
  }

  private jobOf(from: WaitingJob | RunningJob): JobNow {
    const runs = 'attempt' in from;
    const shape = this.situation.shapeOf(from);
    const shareMilli = from.gpuShareMilli ?? wholeGpuMilli;
    const job: JobNow = {
      jobId: from.jobId,
      index: this.jobs.size,
      shape,
      gpus: shape.request.gpus,
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
    { gpus, owner }: Pick<JobRequest, 'gpus' | 'owner'>,
    submittedMs: number,
    at: SnapshotShadow,
    totalMs: number | null,
  ): ShadowJob {
    const isThere =
      at.clusterId !== null && this.situation.shadows.has(this.situation.ownerOf(owner), at.clusterId);
    const startedMs = isThere ? at.startedMs : null;
    return {
      jobId,
      gpus,
      queuedMs: submittedMs,
      // A cluster that is no more: what it had there it had.
      servedMs:
        at.servedMs + (!isThere && at.startedMs !== null ? Math.max(0, this.nowMs - at.startedMs) : 0),
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
    for (const { jobId, ended, clusterId, startedMs, servedMs } of this.moved)
      moves.push(ended ? { ...nowhere, jobId } : { jobId, ended, clusterId, startedMs, servedMs });
    return moves;
  }
}
