import { wholeGpuMilli } from './gpu-share.js';

/**
 * GPU-seconds of an attempt: whole, rounded up, from when its program ran to when it was last known to. A part of a GPU
 * costs that part of its seconds, rounded up once more.
 */
export function gpuSecondsOf(gpus: number, runningMs: number, gpuShareMilli = wholeGpuMilli): number {
  return gpuSecondsBound(gpus, Math.ceil(Math.max(0, runningMs) / 1000), gpuShareMilli);
}

/** What a job may use at most, and what is therefore held before its first offer. Whole numbers, rounded up. */
export function gpuSecondsBound(gpus: number, maxSeconds: number, gpuShareMilli = wholeGpuMilli): number {
  return Math.floor((gpus * maxSeconds * gpuShareMilli + wholeGpuMilli - 1) / wholeGpuMilli);
}

/** Recent use counts half after seven days, so that yesterday's borrower waits and last month's does not. */
export const usageHalfLifeMs = 7 * 24 * 3_600_000;

export function decayed(value: number, elapsedMs: number): number {
  return value * 2 ** (-Math.max(0, elapsedMs) / usageHalfLifeMs);
}
