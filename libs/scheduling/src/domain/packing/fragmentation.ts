import { hasGpus } from './node-fit.js';
import type { Ask } from './workload.js';

/**
 * What of a node's free GPUs a job drawn from the workload is expected not to be able to use, in thousandths of a GPU
 * (Weng et al., Beware of Fragmentation, ATC'23, section 3). A job that needs no GPU can use none of it.
 *
 * Summed by the reason, as in the authors' simulator: scores are cut to whole numbers, so that rounding decides ties.
 */
export function fragmentationMilli(
  freeCpuMilli: number,
  freeGpuMilli: readonly number[],
  gpuType: string | null,
  workload: readonly Ask[],
): number {
  let total = 0;
  for (const free of freeGpuMilli) total += free;
  if (total === 0) return 0;
  let lacksBoth = 0;
  let lacksGpu = 0;
  let lacksCpu = 0;
  let needsNoGpu = 0;
  let lacksCpuNeedsNoGpu = 0;
  let otherType = 0;
  for (const ask of workload) {
    const hasCpu = freeCpuMilli >= ask.cpuMilli;
    if (ask.gpus === 0) {
      if (hasCpu) needsNoGpu += ask.share * total;
      else lacksCpuNeedsNoGpu += ask.share * total;
    } else if (ask.gpuTypes.length > 0 && (gpuType === null || !ask.gpuTypes.includes(gpuType))) {
      otherType += ask.share * total;
    } else if (!hasGpus(freeGpuMilli, ask.gpus, ask.gpuShareMilli)) {
      if (hasCpu) lacksGpu += ask.share * total;
      else lacksBoth += ask.share * total;
    } else if (!hasCpu) {
      lacksCpu += ask.share * total;
    } else {
      let tooSmall = 0;
      for (const free of freeGpuMilli) if (free < ask.gpuShareMilli) tooSmall += free;
      lacksGpu += ask.share * tooSmall;
    }
  }
  return lacksBoth + lacksGpu + lacksCpu + needsNoGpu + lacksCpuNeedsNoGpu + otherType;
}

/** CPU that jobs with GPUs ask for beside each of them, on average; both in thousandths. 0 if they ask for none. */
export function cpuPerGpu(workload: readonly Ask[]): number {
  let cpu = 0;
  let gpu = 0;
  for (const ask of workload) {
    if (ask.gpus === 0) continue;
    cpu += ask.share * ask.cpuMilli;
    gpu += ask.share * ask.gpus * ask.gpuShareMilli;
  }
  return gpu === 0 ? 0 : cpu / gpu;
}

/**
 * What of a node's free GPUs would be left over once jobs of the usual kind have used up its CPU, in thousandths of a
 * GPU. Fragmentation sees that a GPU is stranded only when the CPU is gone; this sees it coming.
 */
export function strandedMilli(
  freeCpuMilli: number,
  freeGpuMilli: readonly number[],
  cpuPerGpu: number,
): number {
  if (cpuPerGpu === 0) return 0;
  let total = 0;
  for (const free of freeGpuMilli) total += free;
  return Math.max(0, total - freeCpuMilli / cpuPerGpu);
}
