/** A whole GPU, in thousandths. */
export const wholeGpuMilli = 1000;
/**
 * Shares come in hundredths of a GPU: what CUDA's process service (MPS) and a bound on memory can tell apart, and fine
 * enough for thirds, sixths and sevenths with little left over.
 */
export const gpuShareStepMilli = 10;
/** No share is smaller: more than ten programs on one GPU mostly wait for each other. */
export const gpuShareLeastMilli = 100;

interface Share {
  readonly gpus: number;
  /** How much of its one GPU, in thousandths; absent: whole ones. */
  readonly gpuShareMilli?: number | undefined;
}

/** Whether it asks for a part of a GPU. */
export function sharesGpu({ gpuShareMilli }: Omit<Share, 'gpus'>): boolean {
  return gpuShareMilli !== undefined && gpuShareMilli < wholeGpuMilli;
}

/** GPUs that a job counts for: whole ones, or its part of one. */
export function gpusCounted({ gpus, gpuShareMilli = wholeGpuMilli }: Share): number {
  return (gpus * gpuShareMilli) / wholeGpuMilli;
}

/**
 * The smallest share that a cluster takes which lets so many jobs onto a GPU, rounded down to a step: so many of them
 * fit onto one GPU, and never one more.
 */
export function leastShareMilli(gpuParts: number): number {
  return Math.floor(wholeGpuMilli / gpuParts / gpuShareStepMilli) * gpuShareStepMilli;
}

/** `25 % of a GPU`. */
export function shareInWords(gpuShareMilli: number): string {
  return `${gpuShareMilli / 10} % of a GPU`;
}
