import { hasGpus } from './node-fit.js';
import type { Ask } from './workload.js';

/** Stands for what no GPU of the node can take. */
const hostsNone = -1;

/**
 * What of a node's free GPUs is lost to jobs drawn from a workload, in thousandths of a GPU. The asks for GPUs that a
 * workload repeats with different CPU are looked at once for each node.
 */
export class Fragmentation {
  private readonly shapes: { readonly gpus: number; readonly shareMilli: number }[] = [];
  private readonly shapeOf: readonly number[];
  /** For each shape what its jobs find too small, or `hostsNone`; for the node in hand. */
  private readonly tooSmall: number[] = [];
  /** CPU that jobs with GPUs ask for beside each, on average, both in thousandths; 0 if they ask for none. */
  private readonly cpuPerGpu: number;

  constructor(private readonly workload: readonly Ask[]) {
    const known = new Map<string, number>();
    this.shapeOf = workload.map(({ gpus, gpuShareMilli }) => {
      const key = `${gpus}/${gpuShareMilli}`;
      const at = known.get(key) ?? this.shapes.push({ gpus, shareMilli: gpuShareMilli }) - 1;
      known.set(key, at);
      return at;
    });
    this.cpuPerGpu = cpuPerGpu(workload);
  }

  /**
   * What a job drawn from the workload is expected not to be able to use (Weng et al., Beware of Fragmentation,
   * ATC'23, section 3). A job that needs no GPU can use none of it.
   *
   * Summed by the reason, as in the authors' simulator: scores are cut to whole numbers, so that rounding decides ties.
   */
  expectedMilli(freeCpuMilli: number, freeGpuMilli: readonly number[], gpuType: string | null): number {
    const total = this.look(freeGpuMilli);
    if (total === 0) return 0;
    let lacksBoth = 0;
    let lacksGpu = 0;
    let lacksCpu = 0;
    let needsNoGpu = 0;
    let lacksCpuNeedsNoGpu = 0;
    let otherType = 0;
    for (let at = 0; at < this.workload.length; at++) {
      const ask = this.workload[at] as Ask;
      const hasCpu = freeCpuMilli >= ask.cpuMilli;
      const tooSmall = this.tooSmall[this.shapeOf[at] as number] as number;
      if (ask.gpus === 0) {
        if (hasCpu) needsNoGpu += ask.share * total;
        else lacksCpuNeedsNoGpu += ask.share * total;
      } else if (ask.gpuTypes.length > 0 && (gpuType === null || !ask.gpuTypes.includes(gpuType))) {
        otherType += ask.share * total;
      } else if (tooSmall === hostsNone) {
        if (hasCpu) lacksGpu += ask.share * total;
        else lacksBoth += ask.share * total;
      } else if (hasCpu) lacksGpu += ask.share * tooSmall;
      else lacksCpu += ask.share * total;
    }
    return lacksBoth + lacksGpu + lacksCpu + needsNoGpu + lacksCpuNeedsNoGpu + otherType;
  }

  /**
   * What would be left over once jobs of the usual kind have used up the node's CPU. The expectation above sees that a
   * GPU is stranded only when the CPU is gone; this sees it coming.
   */
  strandedMilli(freeCpuMilli: number, freeGpuMilli: readonly number[]): number {
    if (this.cpuPerGpu === 0) return 0;
    let total = 0;
    for (const free of freeGpuMilli) total += free;
    return Math.max(0, total - freeCpuMilli / this.cpuPerGpu);
  }

  private look(freeGpuMilli: readonly number[]): number {
    let total = 0;
    for (const free of freeGpuMilli) total += free;
    for (let at = 0; at < this.shapes.length; at++) {
      const { gpus, shareMilli } = this.shapes[at] as { gpus: number; shareMilli: number };
      let tooSmall = 0;
      for (const free of freeGpuMilli) if (free < shareMilli) tooSmall += free;
      this.tooSmall[at] = hasGpus(freeGpuMilli, gpus, shareMilli) ? tooSmall : hostsNone;
    }
    return total;
  }
}

function cpuPerGpu(workload: readonly Ask[]): number {
  let cpu = 0;
  let gpu = 0;
  for (const ask of workload) {
    if (ask.gpus === 0) continue;
    cpu += ask.share * ask.cpuMilli;
    gpu += ask.share * ask.gpus * ask.gpuShareMilli;
  }
  return gpu === 0 ? 0 : cpu / gpu;
}
