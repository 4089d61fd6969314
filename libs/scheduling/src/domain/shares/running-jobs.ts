/** What a cluster needs to know of a job that runs there. */
export interface RunsHere {
  /** Its place among the others; the cluster's to write. */
  at: number;
  readonly gpus: number;
  readonly level: number;
  readonly preemptible: boolean;
  readonly leaving: boolean;
  readonly isProtected: boolean;
  readonly startedMs: number;
  readonly savedMs: number;
  readonly savesEveryMs: number | null;
}

/** Whom a search for room may ask. */
export interface MayAsk<Job> {
  readonly nowMs: number;
  /** Only jobs of worse levels than this; −1: of every level. */
  readonly belowLevel: number;
  /** Nobody who would lose more than this. */
  readonly lossMaxMs: number;
  /** Nobody whose attempt is younger than this. */
  readonly minRunMs: number;
  /** Of those only who passes; null: everybody. */
  readonly passes: ((job: Job) => boolean) | null;
}

/** What a restart costs beside the work that is lost, for choosing whom to ask. */
const restartMs = 10_000;
const nobody = -1;

/**
 * What runs in one cluster. Who would lose least by leaving is looked for much more often than jobs start and end, so
 * what that search reads lies in columns: a decision of a hundred clusters passes over thousands of jobs.
 */
export class RunningJobs<Job extends RunsHere> {
  readonly jobs: Job[] = [];
  /** GPUs of jobs that one of a level may ask to leave, by that level. */
  readonly askableGpus: number[];
  private gpus = new Int32Array(16);
  /** Level, or `nobody` where the job cannot be asked to leave. */
  private levels = new Int8Array(16);
  private startedMs = new Float64Array(16);
  /** The last time that its state was saved, as far as anybody has looked. */
  private savedMs = new Float64Array(16);
  private savesEveryMs = new Float64Array(16);
  /** What the present search has found: places of jobs, what each would lose, and those of them that it would take. */
  private found = new Int32Array(16);
  private lossesMs = new Float64Array(16);
  private taken = new Int32Array(16);

  constructor(levels: number) {
    this.askableGpus = new Array<number>(levels).fill(0);
  }

  add(job: Job): void {
    const at = this.jobs.length;
    if (at === this.gpus.length) this.grow();
    this.jobs.push(job);
    job.at = at;
    this.gpus[at] = job.gpus;
    this.startedMs[at] = job.startedMs;
    this.levels[at] = nobody;
    this.saved(job);
    this.changed(job);
  }

  remove(job: Job): void {
    const { at } = job;
    this.count(this.levels[at] as number, -job.gpus);
    const last = this.jobs.pop();
    if (last === undefined || last === job) return;
    const from = this.jobs.length;
    this.jobs[at] = last;
    last.at = at;
    this.gpus[at] = this.gpus[from] as number;
    this.levels[at] = this.levels[from] as number;
    this.startedMs[at] = this.startedMs[from] as number;
    this.savedMs[at] = this.savedMs[from] as number;
    this.savesEveryMs[at] = this.savesEveryMs[from] as number;
  }

  /** Its level, or whether it may be asked to leave, is another. */
  changed(job: Job): void {
    const { at } = job;
    const was = this.levels[at] as number;
    const is = job.preemptible && !job.leaving && !job.isProtected ? job.level : nobody;
    if (is === was) return;
    this.count(was, -job.gpus);
    this.count(is, job.gpus);
    this.levels[at] = is;
  }

  /** When it last saved its state, or how often it does, is another. */
  saved(job: Job): void {
    this.savedMs[job.at] = job.savedMs;
    this.savesEveryMs[job.at] = job.savesEveryMs ?? Number.POSITIVE_INFINITY;
  }

  private count(level: number, gpus: number): void {
    for (let better = 0; better < level; better++)
      this.askableGpus[better] = (this.askableGpus[better] as number) + gpus;
  }

  /**
   * Jobs that would have to leave so that so many GPUs can be had, and what that costs in GPU-milliseconds: those first
   * whose leaving loses least. Undefined when they are not to be had.
   */
  whoLosesLeast(wantedGpus: number, may: MayAsk<Job>): { leave: Job[]; cost: number } | undefined {
    const found = this.find(wantedGpus, may);
    if (found === undefined) return undefined;
    const { gpus, lossesMs, taken } = this;
    // The cheapest so far, dearest last, and no more of them than are needed.
    let size = 0;
    let offered = 0;
    for (let next = 0; next < found; next++) {
      const at = this.found[next] as number;
      const lossMs = lossesMs[at] as number;
      if (size > 0 && offered >= wantedGpus && lossMs >= (lossesMs[taken[size - 1] as number] as number))
        continue;
      let to = size++;
      for (; to > 0 && (lossesMs[taken[to - 1] as number] as number) > lossMs; to--)
        taken[to] = taken[to - 1] as number;
      taken[to] = at;
      offered += gpus[at] as number;
      while (size > 1 && offered - (gpus[taken[size - 1] as number] as number) >= wantedGpus)
        offered -= gpus[taken[--size] as number] as number;
    }
    const leave: Job[] = [];
    let cost = 0;
    for (let last = size - 1; last >= 0; last--) {
      const at = taken[last] as number;
      const held = gpus[at] as number;
      // Whoever turns out not to be needed stays.
      if (offered - held >= wantedGpus) offered -= held;
      else {
        cost += (restartMs + (lossesMs[at] as number)) * held;
        leave.push(this.jobs[at] as Job);
      }
    }
    return { leave: leave.reverse(), cost };
  }

  /** Notes who may be asked and what each would lose; how many they are, or undefined when they hold too little. */
  private find(
    wantedGpus: number,
    { nowMs, belowLevel, lossMaxMs, minRunMs, passes }: MayAsk<Job>,
  ): number | undefined {
    const { jobs, gpus, levels, startedMs, savedMs, savesEveryMs, found, lossesMs } = this;
    const { length } = jobs;
    let count = 0;
    let offered = 0;
    for (let at = 0; at < length; at++) {
      let lossMs = nowMs - (savedMs[at] as number);
      const everyMs = savesEveryMs[at] as number;
      if (lossMs >= everyMs) {
        lossMs %= everyMs;
        savedMs[at] = nowMs - lossMs;
      }
      // What sorts out most comes first.
      if (lossMs > lossMaxMs || (levels[at] as number) <= belowLevel) continue;
      if (nowMs - (startedMs[at] as number) < minRunMs) continue;
      if (passes !== null && !passes(jobs[at] as Job)) continue;
      lossesMs[at] = lossMs;
      found[count++] = at;
      offered += gpus[at] as number;
    }
    return offered < wantedGpus ? undefined : count;
  }

  private grow(): void {
    const length = 2 * this.gpus.length;
    const wider = <Column extends Int32Array | Int8Array | Float64Array>(
      into: Column,
      from: Column,
    ): Column => {
      into.set(from);
      return into;
    };
    this.gpus = wider(new Int32Array(length), this.gpus);
    this.levels = wider(new Int8Array(length), this.levels);
    this.startedMs = wider(new Float64Array(length), this.startedMs);
    this.savedMs = wider(new Float64Array(length), this.savedMs);
    this.savesEveryMs = wider(new Float64Array(length), this.savesEveryMs);
    this.found = new Int32Array(length);
    this.lossesMs = new Float64Array(length);
    this.taken = new Int32Array(length);
  }
}
