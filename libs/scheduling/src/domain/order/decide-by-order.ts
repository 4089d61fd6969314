import type { Decisions, Move, Placement, Preemption } from '../decisions.js';
import type { Rank } from '../policy.js';
import type { NodeShare, RunningJob, Snapshot, WaitingJob } from '../snapshot.js';
import { rankOf } from './ranks.js';
import { WholeGpus } from './whole-gpus.js';

/**
 * All jobs, running and waiting, placed anew in the order of their rank, each where it first fits; who no longer fits
 * is preempted. What free GPUs a larger job cannot use go to the next smaller one. Ties by submission, then by id.
 *
 * Free GPUs only shrink during a decision, so once a job of so many GPUs fits nowhere, no later job of that size does,
 * and the rest of that size is never looked at.
 */
export function decideByOrder(snapshot: Snapshot, rank: Rank): Decisions {
  const floor = new WholeGpus(snapshot.clusters);
  const lines = linesOf(snapshot, rank, floor.free);
  const place: Placement[] = [];
  const move: Move[] = [];
  const kept = new Set<string>();
  for (let line = firstOf(lines); line !== undefined; line = firstOf(lines)) {
    const { job, from } = line.shift();
    const spot = floor.take(job.gpus);
    if (spot === undefined || line.isEmpty) lines.delete(line);
    if (spot === undefined) continue;
    if (from === null) {
      place.push({ jobId: job.jobId, ...spot });
      continue;
    }
    kept.add(job.jobId);
    if (from.clusterId !== spot.clusterId || !isSame(from.job.on, spot.nodes))
      move.push({ jobId: job.jobId, attempt: from.job.attempt, ...spot });
  }
  const preempt: Preemption[] = [];
  for (const { running = [] } of snapshot.clusters) {
    for (const { jobId, attempt } of running) {
      if (!kept.has(jobId)) preempt.push({ jobId, attempt, reason: 'jobs that go before it need its GPUs' });
    }
  }
  return { place, preempt, move, shadow: [] };
}

interface Entry {
  readonly rank: number;
  readonly job: WaitingJob | RunningJob;
  /** Where it runs, if it runs. */
  readonly from: { readonly job: RunningJob; readonly clusterId: string } | null;
}

/** One line for each size of job, each no longer than what could start at best. */
function linesOf(snapshot: Snapshot, rank: Rank, freeGpus: number): Set<Line> {
  const bySize = new Map<number, Line>();
  const lineOf = (gpus: number): Line => {
    const known = bySize.get(gpus);
    if (known !== undefined) return known;
    const line = new Line(gpus === 0 ? Number.POSITIVE_INFINITY : Math.floor(freeGpus / gpus));
    bySize.set(gpus, line);
    return line;
  };
  for (const { clusterId, running = [] } of snapshot.clusters)
    for (const job of running) lineOf(job.gpus).offer(rankOf(job, rank), job, { job, clusterId });
  for (const job of snapshot.waiting) lineOf(job.gpus).offer(rankOf(job, rank), job, null);
  return new Set([...bySize.values()].filter((line) => !line.isEmpty));
}

function firstOf(lines: ReadonlySet<Line>): Line | undefined {
  let best: Line | undefined;
  for (const line of lines) {
    if (best === undefined || precedes(line.first.rank, line.first.job, best.first)) best = line;
  }
  return best;
}

function precedes(rank: number, job: WaitingJob | RunningJob, other: Entry): boolean {
  if (rank !== other.rank) return rank < other.rank;
  if (job.submittedMs !== other.job.submittedMs) return job.submittedMs < other.job.submittedMs;
  return job.jobId < other.job.jobId;
}

/** The first jobs of one size in order. Of thousands that wait, nearly all are turned away by one comparison. */
class Line {
  private readonly entries: Entry[] = [];
  private at = 0;
  /** The rank of the last one once the line is as long as it may be. */
  private worst = Number.POSITIVE_INFINITY;

  constructor(private readonly longest: number) {}

  get isEmpty(): boolean {
    return this.at === this.entries.length;
  }

  get first(): Entry {
    return this.entries[this.at] as Entry;
  }

  shift(): Entry {
    const { first } = this;
    this.at++;
    return first;
  }

  offer(rank: number, job: WaitingJob | RunningJob, from: Entry['from']): void {
    if (rank > this.worst) return;
    const { entries } = this;
    if (entries.length >= this.longest) {
      const last = entries.at(-1);
      if (last === undefined || !precedes(rank, job, last)) return;
      entries.pop();
    }
    let low = 0;
    for (let high = entries.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (precedes(rank, job, entries[middle] as Entry)) high = middle;
      else low = middle + 1;
    }
    entries.splice(low, 0, { rank, job, from });
    if (entries.length >= this.longest) this.worst = (entries.at(-1) as Entry).rank;
  }
}

function isSame(a: readonly NodeShare[] | undefined, b: readonly NodeShare[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.length === b.length &&
    a.every((share, i) => {
      const other = b[i];
      return (
        other?.nodeId === share.nodeId &&
        share.gpuShareMilli === other.gpuShareMilli &&
        share.gpus.length === other.gpus.length &&
        share.gpus.every((gpu, j) => gpu === other.gpus[j])
      );
    })
  );
}
