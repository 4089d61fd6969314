import { beamtime, type SharesPolicy } from '../domain/policy.js';
import { BinaryHeap } from '../domain/shares/binary-heap.js';
import { moveByShares } from '../domain/shares/move-by-shares.js';
import { type JobNow, Situation } from '../domain/shares/situation.js';
import type { ClusterPolicy, SnapshotCluster } from '../domain/snapshot.js';

export interface FederationJob {
  readonly submitMs: number;
  readonly durationMs: number;
  readonly gpus: number;
  readonly lab: number;
}

const open: ClusterPolicy = {
  kinds: ['train', 'serve', 'infer', 'capture', 'evaluate'],
  labIds: null,
  consortium: true,
  gpusPerJobMax: null,
  secondsPerJobMax: null,
  hoursUtc: null,
};
export const checkpointEveryMs = 30 * 60_000;

export function restartOverheadMs(gpus: number): number {
  return gpus <= 8 ? 7_000 : gpus <= 32 ? 30_000 : 60_000;
}

export interface FederationResult {
  readonly endMs: Float64Array;
  preemptions: number;
  lostGpuMs: number;
  decisions: number;
}

export interface Outage {
  readonly lab: number;
  readonly fromMs: number;
  readonly toMs: number;
}

interface Event {
  readonly atMs: number;
  readonly kind: 0 | 1 | 2 | 3;
  readonly job: number;
  readonly starts: number;
}

export function simulateFederation(
  jobs: readonly FederationJob[],
  gpusOfLabs: readonly number[],
  policy: SharesPolicy = beamtime,
  seed = 1,
  outages: readonly Outage[] = [],
): FederationResult {
  const labId = (lab: number): string => `lab-${String(lab).padStart(4, '0')}`;
  const clusterInfo = (lab: number, state: 'active' | 'down'): SnapshotCluster => ({
    clusterId: `cluster-${String(lab).padStart(4, '0')}`,
    name: `cluster-${lab}`,
    labId: labId(lab),
    state,
    capacity: { gpus: gpusOfLabs[lab] as number, gpuType: 'gpu', gpuMemoryMiB: null, policy: open },
    busyGpus: {},
  });
  const situation = new Situation(
    gpusOfLabs.map((_, lab) => clusterInfo(lab, 'active')),
    gpusOfLabs.map((gpus, lab) => ({
      owner: labId(lab),
      entitledGpus: gpus,
      recentGpuSeconds: 0,
      creditGpuSeconds: 0,
    })),
    policy,
    0,
  );
  const order = jobs
    .map((_, index) => index)
    .sort((a, b) => (jobs[a] as FederationJob).submitMs - (jobs[b] as FederationJob).submitMs);
  const now: (JobNow | undefined)[] = new Array(jobs.length);
  const doneMs = new Float64Array(jobs.length);
  const overheadMs = new Float64Array(jobs.length);
  const index = new Map<JobNow, number>();
  const result: FederationResult = {
    endMs: new Float64Array(jobs.length),
    preemptions: 0,
    lostGpuMs: 0,
    decisions: 0,
  };
  const events = new BinaryHeap<Event>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.kind < b.kind));
  for (const [at, { fromMs, toMs }] of outages.entries()) {
    events.push({ atMs: fromMs, kind: 2, job: at, starts: 0 });
    events.push({ atMs: toMs, kind: 3, job: at, starts: 0 });
  }
  let next = 0;

  const requeue = (job: JobNow, nowMs: number): void => {
    const id = index.get(job) as number;
    const ranMs = Math.max(0, nowMs - job.startedMs - (overheadMs[id] as number));
    const lostMs = ranMs % checkpointEveryMs;
    const { gpus } = job.shape.request;
    result.lostGpuMs += lostMs * gpus + Math.min(overheadMs[id] as number, nowMs - job.startedMs) * gpus;
    doneMs[id] = (doneMs[id] as number) + ranMs - lostMs;
    situation.release(job);
    job.servedMs = doneMs[id] as number;
    job.queuedMs = nowMs;
    overheadMs[id] = restartOverheadMs(gpus);
    situation.wait(job);
    result.preemptions++;
  };
  const decide = (nowMs: number): void => {
    let rounds = 0;
    for (;;) {
      const moves = moveByShares(situation, nowMs, seed);
      if (++rounds > 2000) {
        console.log(
          'stuck',
          nowMs,
          moves.start.length,
          moves.leave.map((l) => [
            l.job.jobId,
            l.job.level,
            l.forJob.jobId,
            l.forJob.level,
            l.forJob.shape.request.gpus,
          ]),
          situation.clusters.map((c) => [c.free, c.gpus, c.running.length]),
        );
        process.exit(1);
      }
      result.decisions++;
      for (const job of moves.start) {
        const id = index.get(job) as number;
        job.savedMs = nowMs + (overheadMs[id] as number);
        const leftMs = (jobs[id] as FederationJob).durationMs - (doneMs[id] as number);
        events.push({
          atMs: nowMs + (overheadMs[id] as number) + leftMs,
          kind: 0,
          job: id,
          starts: job.starts,
        });
      }
      if (moves.leave.length === 0) return;
      for (const { job } of moves.leave) requeue(job, nowMs);
    }
  };

  for (;;) {
    const arrival =
      next < order.length
        ? (jobs[order[next] as number] as FederationJob).submitMs
        : Number.POSITIVE_INFINITY;
    const due = events.peek()?.atMs ?? Number.POSITIVE_INFINITY;
    const nowMs = Math.min(arrival, due);
    if (nowMs === Number.POSITIVE_INFINITY) break;
    situation.advance(nowMs);
    for (let event = events.peek(); event !== undefined && event.atMs <= nowMs; event = events.peek()) {
      events.pop();
      if (event.kind >= 2) {
        const outage = outages[event.job] as Outage;
        const cluster = situation.clusters[outage.lab];
        if (cluster !== undefined && event.kind === 2)
          for (const job of [...cluster.running]) requeue(job, nowMs);
        situation.changeCluster(clusterInfo(outage.lab, event.kind === 2 ? 'down' : 'active'), nowMs);
        continue;
      }
      const job = now[event.job];
      if (job === undefined || job.starts !== event.starts || job.cluster === null) continue;
      result.lostGpuMs += (overheadMs[event.job] as number) * job.shape.request.gpus;
      situation.finish(job, (jobs[event.job] as FederationJob).durationMs, nowMs);
      result.endMs[event.job] = nowMs;
      index.delete(job);
      now[event.job] = undefined;
    }
    for (; next < order.length && (jobs[order[next] as number] as FederationJob).submitMs <= nowMs; next++) {
      const id = order[next] as number;
      const { gpus, lab, submitMs } = jobs[id] as FederationJob;
      const shape = situation.shapeOf({
        kind: 'train',
        owner: labId(lab),
        gpus,
        gpuType: null,
        gpuMemoryMiB: null,
        maxSeconds: 1,
      });
      const job: JobNow = {
        jobId: String(id).padStart(7, '0'),
        shape,
        ownerNow: situation.ownerOf(labId(lab)),
        priority: 0,
        submittedMs: submitMs,
        preemptible: true,
        servedMs: 0,
        queuedMs: submitMs,
        retryAtMs: null,
        avoid: [],
        raisedLevels: 0,
        level: 0,
        ticket: 0,
        attempt: 0,
        startedMs: 0,
        savedMs: 0,
        savesEveryMs: checkpointEveryMs,
        cluster: null,
        leaving: false,
        isProtected: false,
        starts: 0,
        shadow: null,
      };
      now[id] = job;
      index.set(job, id);
      situation.wait(job);
      if (policy.guarantee)
        situation.shadow(
          job,
          {
            jobId: job.jobId,
            gpus,
            queuedMs: submitMs,
            servedMs: 0,
            startedMs: null,
            totalMs: null,
            clusterId: null,
            ended: false,
          },
          nowMs,
        );
    }
    decide(nowMs);
  }
  return result;
}

/** Each lab alone: what the shadow would be if it knew. */
export function simulateSilos(
  jobs: readonly FederationJob[],
  gpusOfLabs: readonly number[],
  outages: readonly Outage[] = [],
): Float64Array {
  void outages;
  const endMs = new Float64Array(jobs.length);
  gpusOfLabs.forEach((gpus, lab) => {
    const own = jobs
      .flatMap((job, index) => (job.lab === lab ? [index] : []))
      .sort((a, b) => (jobs[a] as FederationJob).submitMs - (jobs[b] as FederationJob).submitMs);
    const ends = new BinaryHeap<{ atMs: number; id: number }>((a, b) => a.atMs < b.atMs);
    let queue: number[] = [];
    let free = gpus;
    let next = 0;
    for (;;) {
      const arrival =
        next < own.length ? (jobs[own[next] as number] as FederationJob).submitMs : Number.POSITIVE_INFINITY;
      const nowMs = Math.min(arrival, ends.peek()?.atMs ?? Number.POSITIVE_INFINITY);
      if (nowMs === Number.POSITIVE_INFINITY) break;
      for (let end = ends.peek(); end !== undefined && end.atMs <= nowMs; end = ends.peek()) {
        ends.pop();
        free += (jobs[end.id] as FederationJob).gpus;
      }
      while (next < own.length && (jobs[own[next] as number] as FederationJob).submitMs <= nowMs)
        queue.push(own[next++] as number);
      const kept: number[] = [];
      let at = 0;
      for (; at < queue.length && (process.env.V ? kept.length : at) < 64 && free > 0; at++) {
        const id = queue[at] as number;
        const job = jobs[id] as FederationJob;
        if (job.gpus <= free) {
          free -= job.gpus;
          endMs[id] = nowMs + job.durationMs;
          ends.push({ atMs: endMs[id] as number, id });
        } else kept.push(id);
      }
      if (at > 0) queue = [...kept, ...queue.slice(at)];
    }
  });
  return endMs;
}
