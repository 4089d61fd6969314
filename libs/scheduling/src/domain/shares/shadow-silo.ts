import { BinaryHeap } from './binary-heap.js';

/** How far down its queue a lab alone would look for a job that fits. */
export const siloLookAhead = 64;

/**
 * One job in the schedule that a lab would have had alone. `servedMs` is what it had before it was last started there;
 * `totalMs` is what it needs, known only once it has really ended.
 */
export interface ShadowJob {
  readonly jobId: string;
  readonly gpus: number;
  readonly queuedMs: number;
  servedMs: number;
  startedMs: number | null;
  totalMs: number | null;
  /** Cluster of the lab that it would be running in. */
  clusterId: string | null;
  ended: boolean;
}

export interface ShadowListener {
  /** It would have been started at home at this moment, or have ended, or, with an outage, stopped. */
  changed(job: ShadowJob, nowMs: number): void;
}

interface Pool {
  gpus: number;
  /** Also while it is out. */
  readonly gpusAtMost: number;
  free: number;
  running: Set<ShadowJob>;
}

/**
 * The schedule that one lab would have had alone with its own clusters: first come, first fit, looking ahead
 * `siloLookAhead` places, without preemption. It knows no duration in advance: a job goes on here until it has really
 * ended, and ends here when it has had as much service as it really took. A job that has had more service here than in
 * reality is owed the difference, and goes before all others at home until it has it (after the fair sojourn protocol,
 * Friedman and Henderson 2003, which knows durations and has one resource; with unknown ones and gangs a job can still
 * end somewhat later than at home: docs/benchmarks.md says how often it does).
 */
export class ShadowSilo {
  private readonly pools: ReadonlyMap<string, Pool>;
  private queue: ShadowJob[] = [];
  private readonly ends = new BinaryHeap<{ atMs: number; job: ShadowJob; startedMs: number }>(
    (a, b) => a.atMs < b.atMs,
  );

  constructor(
    clusters: readonly { readonly clusterId: string; readonly gpus: number }[],
    private readonly listener: ShadowListener,
  ) {
    this.pools = new Map(
      clusters.map(({ clusterId, gpus }) => [
        clusterId,
        { gpus, gpusAtMost: gpus, free: gpus, running: new Set<ShadowJob>() },
      ]),
    );
  }

  /** A job of the lab joins the queue, or, when it has `startedMs` already, stands where it stood. */
  add(job: ShadowJob, nowMs: number): void {
    const pool = job.clusterId === null ? undefined : this.pools.get(job.clusterId);
    if (job.startedMs !== null && pool !== undefined) {
      pool.free -= job.gpus;
      pool.running.add(job);
      this.expectEnd(job, nowMs);
      return;
    }
    this.queue.push(job);
    this.startWhatFits(nowMs);
  }

  has(clusterId: string): boolean {
    return this.pools.has(clusterId);
  }

  /** Whether a gang of this size could ever run here. */
  couldHold(gpus: number): boolean {
    for (const pool of this.pools.values()) if (gpus <= pool.gpusAtMost) return true;
    return false;
  }

  /** The job has really ended, after so much service. */
  ended(job: ShadowJob, totalMs: number, nowMs: number): void {
    job.totalMs = totalMs;
    this.expectEnd(job, nowMs);
    this.advance(nowMs);
  }

  /** Another number of GPUs from now on; 0 while the cluster is out. What runs there stops and queues again. */
  resize(clusterId: string, gpus: number, nowMs: number): void {
    const at = this.pools.get(clusterId);
    if (at === undefined) return;
    this.advance(nowMs);
    if (gpus < at.gpus - at.free) {
      for (const job of [...at.running]) this.stop(at, job, nowMs);
      this.queue.sort((a, b) => a.queuedMs - b.queuedMs);
    }
    at.free += gpus - at.gpus;
    at.gpus = gpus;
    this.startWhatFits(nowMs);
  }

  /** What would have ended by now has ended, and what waited has taken its place, each at its time. */
  advance(nowMs: number): void {
    for (let next = this.ends.peek(); next !== undefined && next.atMs <= nowMs; next = this.ends.peek()) {
      this.ends.pop();
      const { job, atMs } = next;
      const pool = job.clusterId === null ? undefined : this.pools.get(job.clusterId);
      if (job.ended || job.startedMs !== next.startedMs || pool === undefined) continue;
      job.ended = true;
      pool.running.delete(job);
      pool.free += job.gpus;
      this.listener.changed(job, atMs);
      this.startWhatFits(atMs);
    }
  }

  private stop(pool: Pool, job: ShadowJob, nowMs: number): void {
    pool.running.delete(job);
    pool.free += job.gpus;
    job.servedMs += nowMs - (job.startedMs ?? nowMs);
    job.startedMs = null;
    job.clusterId = null;
    this.queue.push(job);
    this.listener.changed(job, nowMs);
  }

  private expectEnd(job: ShadowJob, nowMs: number): void {
    if (job.startedMs === null || job.totalMs === null || job.ended) return;
    // Not before now: what ended late in reality could not be known to end earlier here.
    const atMs = Math.max(nowMs, job.startedMs + job.totalMs - job.servedMs);
    this.ends.push({ atMs, job, startedMs: job.startedMs });
  }

  private startWhatFits(nowMs: number): void {
    let kept = 0;
    let at = 0;
    for (; at < this.queue.length && kept < siloLookAhead && this.hasRoom(); at++) {
      const job = this.queue[at] as ShadowJob;
      if (!this.start(job, nowMs)) this.queue[kept++] = job;
    }
    if (kept < at) this.queue.splice(kept, at - kept);
  }

  private hasRoom(): boolean {
    for (const pool of this.pools.values()) if (pool.free > 0) return true;
    return false;
  }

  private start(job: ShadowJob, nowMs: number): boolean {
    for (const [clusterId, pool] of this.pools) {
      if (pool.free < job.gpus) continue;
      pool.free -= job.gpus;
      pool.running.add(job);
      job.clusterId = clusterId;
      job.startedMs = nowMs;
      this.expectEnd(job, nowMs);
      this.listener.changed(job, nowMs);
      return true;
    }
    return false;
  }
}

/** Service that the job has had in the shadow by now, ms. */
export function shadowServedMs(job: ShadowJob, nowMs: number): number {
  return job.servedMs + (job.startedMs === null || job.ended ? 0 : Math.max(0, nowMs - job.startedMs));
}
