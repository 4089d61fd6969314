import { LookAheadQueue } from '../domain/shares/look-ahead-queue.js';
import { siloLookAhead } from '../domain/shares/shadow-silo.js';
import { TimeHeap } from '../domain/shares/time-heap.js';
import {
  checkpointEveryMs,
  type Federation,
  type FederationJob,
  type FederationRun,
  restartOverheadMs,
} from './federation.js';

/**
 * When each job would have ended had its lab been alone with its cluster: first come, first fit, looking ahead 64
 * places, without preemption; an outage costs what has not been saved. What "worse off" is measured by.
 */
export function simulateSilos(federation: Federation): FederationRun {
  const endMs = new Float64Array(federation.jobs.length);
  const jobsOf: number[][] = federation.labIds.map(() => []);
  for (const [index, job] of federation.jobs.entries()) jobsOf[job.lab]?.push(index);
  let [preemptions, lostGpuMs] = [0, 0];
  for (const [lab, indices] of jobsOf.entries()) {
    const alone = new Alone(federation, lab, indices, endMs);
    alone.run();
    preemptions += alone.preemptions;
    lostGpuMs += alone.lostGpuMs;
  }
  return { endMs, preemptions, lostGpuMs, decisions: 0 };
}

/** What a job that was stopped by an outage has had, and what it costs to go on. */
interface Stopped {
  readonly doneMs: number;
  readonly overheadMs: number;
}
const fresh: Stopped = { doneMs: 0, overheadMs: 0 };

interface Change {
  readonly atMs: number;
  readonly isOut: boolean;
}

/** One lab alone. Jobs go by their index in the federation, which is their order of submission. */
class Alone {
  private readonly jobs: readonly FederationJob[];
  private readonly changes: readonly Change[];
  private readonly gpus: number;
  private free: number;
  private nowMs = 0;
  private readonly queue = new LookAheadQueue<number>(siloLookAhead);
  private readonly ends = new TimeHeap<number>();
  /** When each running job was started. */
  private readonly running = new Map<number, number>();
  private readonly stopped = new Map<number, Stopped>();
  preemptions = 0;
  lostGpuMs = 0;

  constructor(
    federation: Federation,
    lab: number,
    private readonly indices: readonly number[],
    private readonly endMs: Float64Array,
  ) {
    this.jobs = federation.jobs;
    this.gpus = federation.gpusOfLabs[lab] ?? 0;
    this.free = this.gpus;
    this.changes = federation.outages
      .filter((outage) => outage.lab === lab)
      .flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, isOut: true },
        { atMs: toMs, isOut: false },
      ])
      .sort((a, b) => a.atMs - b.atMs);
  }

  run(): void {
    const { indices, changes, ends, queue, hasRoom, start } = this;
    let [arrived, changed] = [0, 0];
    for (;;) {
      const next = indices[arrived];
      const nowMs = Math.min(
        next === undefined ? Number.POSITIVE_INFINITY : this.jobOf(next).submitMs,
        ends.nextMs,
        changes[changed]?.atMs ?? Number.POSITIVE_INFINITY,
      );
      if (nowMs === Number.POSITIVE_INFINITY) return;
      this.nowMs = nowMs;
      const freeBefore = this.free;
      while (ends.nextMs <= nowMs) this.end(ends.pop() as number);
      for (; changed < changes.length; changed++) {
        const change = changes[changed] as Change;
        if (change.atMs > nowMs) break;
        this.change(change);
      }
      if (this.free !== freeBefore) queue.takeWhatFits(hasRoom, start);
      for (; arrived < indices.length; arrived++) {
        const index = indices[arrived] as number;
        if (this.jobOf(index).submitMs > nowMs) break;
        queue.pushOrTake(index, start);
      }
    }
  }

  private jobOf(index: number): FederationJob {
    return this.jobs[index] as FederationJob;
  }

  private readonly hasRoom = (): boolean => this.free > 0;

  private readonly start = (index: number): boolean => {
    const { gpus, durationMs } = this.jobOf(index);
    if (gpus > this.free) return false;
    this.free -= gpus;
    this.running.set(index, this.nowMs);
    const { doneMs, overheadMs } = this.stopped.get(index) ?? fresh;
    const endMs = this.nowMs + overheadMs + durationMs - doneMs;
    // Until it ends this is when it will: an end that was foreseen before an outage is another time, and is passed over.
    this.endMs[index] = endMs;
    this.ends.push(endMs, index);
    return true;
  };

  private end(index: number): void {
    if (this.endMs[index] !== this.nowMs || !this.running.delete(index)) return;
    const { gpus } = this.jobOf(index);
    this.free += gpus;
    this.lostGpuMs += (this.stopped.get(index)?.overheadMs ?? 0) * gpus;
  }

  private change({ isOut }: Change): void {
    if (!isOut) {
      this.free = this.gpus;
      return;
    }
    for (const [index, startedMs] of this.running) {
      const { doneMs, overheadMs } = this.stopped.get(index) ?? fresh;
      const { gpus } = this.jobOf(index);
      const heldMs = this.nowMs - startedMs;
      const ranMs = Math.max(0, heldMs - overheadMs);
      const lostMs = ranMs % checkpointEveryMs;
      this.preemptions++;
      this.lostGpuMs += (heldMs - ranMs + lostMs) * gpus;
      this.stopped.set(index, {
        doneMs: doneMs + ranMs - lostMs,
        overheadMs: restartOverheadMs(gpus),
      });
      this.queue.push(index);
    }
    this.running.clear();
    this.free = 0;
    this.queue.sort((a, b) => a - b);
  }
}
