import { timeWithAll, timeWithSome } from '../elastic.js';
import { LookAheadQueue } from './look-ahead-queue.js';
import type { ShadowJob } from './state.js';
import { TimeHeap } from './time-heap.js';

/** How far down its queue a lab alone would look for a job that fits. */
export const siloLookAhead = 64;

export interface ShadowListener {
  /** It would have been started at home at this moment, or have ended, or, with an outage, stopped. */
  changed(job: ShadowJob, nowMs: number): void;
  /** Something here will be due at that time, if nothing comes between. */
  expects(atMs: number): void;
}

interface Pool {
  readonly clusterId: string;
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
  private readonly pools: readonly Pool[];
  private readonly queue = new LookAheadQueue<ShadowJob>(siloLookAhead);
  /** Jobs that have really ended and still run here. */
  private readonly ends = new TimeHeap<ShadowJob>();
  /** When the present `startWhatFits` takes place. */
  private startMs = 0;

  constructor(
    clusters: readonly { readonly clusterId: string; readonly gpus: number }[],
    private readonly listener: ShadowListener,
  ) {
    this.pools = clusters.map(({ clusterId, gpus }) => ({
      clusterId,
      gpus,
      gpusAtMost: gpus,
      free: gpus,
      running: new Set<ShadowJob>(),
    }));
  }

  /** A job of the lab joins the queue, or, when it has `startedMs` already, stands where it stood. */
  add(job: ShadowJob, nowMs: number): void {
    const pool = job.clusterId === null ? undefined : this.poolOf(job.clusterId);
    if (job.startedMs !== null && pool !== undefined) {
      pool.free -= job.gpus;
      pool.running.add(job);
      this.expectEnd(job, nowMs);
      return;
    }
    this.startMs = nowMs;
    this.queue.pushOrTake(job, this.start);
  }

  has(clusterId: string): boolean {
    return this.poolOf(clusterId) !== undefined;
  }

  private poolOf(clusterId: string): Pool | undefined {
    return this.pools.find((pool) => pool.clusterId === clusterId);
  }

  /** Whether a gang of this size could ever run here. */
  couldHold(gpus: number): boolean {
    return this.pools.some(({ gpusAtMost }) => gpus <= gpusAtMost);
  }

  /** The job has really ended, after so much service. */
  ended(job: ShadowJob, totalMs: number, nowMs: number): void {
    job.totalMs = totalMs;
    this.expectEnd(job, nowMs);
    this.advance(nowMs);
  }

  /** Another number of GPUs from now on; 0 while the cluster is out. What runs there stops and queues again. */
  resize(clusterId: string, gpus: number, nowMs: number): void {
    const at = this.poolOf(clusterId);
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
    for (let atMs = this.ends.nextMs; atMs <= nowMs; atMs = this.ends.nextMs) {
      const job = this.ends.pop() as ShadowJob;
      const pool = job.clusterId === null ? undefined : this.poolOf(job.clusterId);
      if (job.ended || job.endsMs !== atMs || pool === undefined) continue;
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
    job.servedMs = shadowServedMs(job, nowMs);
    job.startedMs = null;
    job.endsMs = null;
    job.clusterId = null;
    this.queue.push(job);
    this.listener.changed(job, nowMs);
  }

  private expectEnd(job: ShadowJob, nowMs: number): void {
    if (job.startedMs === null || job.totalMs === null || job.ended) return;
    // Not before now: what ended late in reality could not be known to end earlier here.
    const lackingMs = timeWithSome(job.totalMs - job.servedMs, job.gpus, job.gpusMost);
    const atMs = Math.max(nowMs, job.startedMs + lackingMs);
    job.endsMs = atMs;
    this.ends.push(atMs, job);
    this.listener.expects(atMs);
  }

  private startWhatFits(nowMs: number): void {
    this.startMs = nowMs;
    this.queue.takeWhatFits(this.hasRoom, this.start);
  }

  private readonly hasRoom = (): boolean => {
    for (const pool of this.pools) if (pool.free > 0) return true;
    return false;
  };

  private readonly start = (job: ShadowJob): boolean => {
    for (const pool of this.pools) {
      if (pool.free < job.gpus) continue;
      pool.free -= job.gpus;
      pool.running.add(job);
      job.clusterId = pool.clusterId;
      job.startedMs = this.startMs;
      this.expectEnd(job, this.startMs);
      this.listener.changed(job, this.startMs);
      return true;
    }
    return false;
  };
}

/** Service that the job has had in the shadow by now, ms, as with all its GPUs. */
export function shadowServedMs(job: ShadowJob, nowMs: number): number {
  if (job.startedMs === null || job.ended) return job.servedMs;
  return job.servedMs + timeWithAll(Math.max(0, nowMs - job.startedMs), job.gpus, job.gpusMost);
}
