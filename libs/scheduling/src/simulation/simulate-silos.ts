import { BinaryHeap } from '../domain/shares/binary-heap.js';
import { siloLookAhead } from '../domain/shares/shadow-silo.js';
import { checkpointEveryMs, type Federation, type FederationJob, restartOverheadMs } from './federation.js';

interface Alone {
  readonly job: FederationJob;
  readonly index: number;
  doneMs: number;
  overheadMs: number;
  startedMs: number;
  starts: number;
}

/**
 * When each job would have ended had its lab been alone with its cluster: first come, first fit, looking ahead 64
 * places, without preemption; an outage costs what has not been saved. What "worse off" is measured by.
 */
export function simulateSilos(federation: Federation): Float64Array {
  const endMs = new Float64Array(federation.jobs.length);
  const jobsOf: Alone[][] = federation.labIds.map(() => []);
  for (const [index, job] of federation.jobs.entries())
    jobsOf[job.lab]?.push({ job, index, doneMs: 0, overheadMs: 0, startedMs: 0, starts: 0 });
  for (const [lab, jobs] of jobsOf.entries()) simulateSilo(federation, lab, jobs, endMs);
  return endMs;
}

function simulateSilo(
  federation: Federation,
  lab: number,
  jobs: readonly Alone[],
  endMs: Float64Array,
): void {
  const outages = federation.outages.filter((outage) => outage.lab === lab);
  const changes = outages
    .flatMap(({ fromMs, toMs }) => [
      { atMs: fromMs, isOut: true },
      { atMs: toMs, isOut: false },
    ])
    .sort((a, b) => a.atMs - b.atMs);
  const ends = new BinaryHeap<{ atMs: number; alone: Alone; starts: number }>((a, b) => a.atMs < b.atMs);
  const running = new Set<Alone>();
  const all = federation.gpusOfLabs[lab] ?? 0;
  let free = all;
  let queue: Alone[] = [];
  let [arrived, changed] = [0, 0];
  for (;;) {
    const nowMs = Math.min(
      jobs[arrived]?.job.submitMs ?? Number.POSITIVE_INFINITY,
      ends.peek()?.atMs ?? Number.POSITIVE_INFINITY,
      changes[changed]?.atMs ?? Number.POSITIVE_INFINITY,
    );
    if (nowMs === Number.POSITIVE_INFINITY) return;
    for (let end = ends.peek(); end !== undefined && end.atMs <= nowMs; end = ends.peek()) {
      ends.pop();
      if (end.starts !== end.alone.starts || !running.delete(end.alone)) continue;
      free += end.alone.job.gpus;
      endMs[end.alone.index] = nowMs;
    }
    for (
      let change = changes[changed];
      change !== undefined && change.atMs <= nowMs;
      change = changes[++changed]
    ) {
      if (!change.isOut) free = all;
      else {
        for (const alone of running) queue.push(stopped(alone, nowMs));
        running.clear();
        free = 0;
        queue.sort((a, b) => a.index - b.index);
      }
    }
    for (let next = jobs[arrived]; next !== undefined && next.job.submitMs <= nowMs; next = jobs[++arrived])
      queue.push(next);
    const kept: Alone[] = [];
    let at = 0;
    for (; at < queue.length && kept.length < siloLookAhead && free > 0; at++) {
      const alone = queue[at] as Alone;
      if (alone.job.gpus > free) {
        kept.push(alone);
        continue;
      }
      free -= alone.job.gpus;
      alone.startedMs = nowMs;
      alone.starts++;
      running.add(alone);
      ends.push({
        atMs: nowMs + alone.overheadMs + alone.job.durationMs - alone.doneMs,
        alone,
        starts: alone.starts,
      });
    }
    if (kept.length < at) queue = kept.concat(queue.slice(at));
  }
}

function stopped(alone: Alone, nowMs: number): Alone {
  const ranMs = Math.max(0, nowMs - alone.startedMs - alone.overheadMs);
  alone.doneMs += ranMs - (ranMs % checkpointEveryMs);
  alone.overheadMs = restartOverheadMs(alone.job.gpus);
  alone.starts++;
  return alone;
}
