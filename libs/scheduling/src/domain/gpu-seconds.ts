/** GPU-seconds of an attempt: whole, rounded up, from when its program ran to when it was last known to. */
export function gpuSecondsOf(gpus: number, runningMs: number): number {
  return gpus * Math.ceil(Math.max(0, runningMs) / 1000);
}

/** What a job may use at most, and what is therefore held before its first offer. */
export function gpuSecondsBound(gpus: number, maxSeconds: number): number {
  return gpus * maxSeconds;
}

/** Recent use counts half after seven days, so that yesterday's borrower waits and last month's does not. */
export const usageHalfLifeMs = 7 * 24 * 3_600_000;

export function decayed(value: number, elapsedMs: number): number {
  return value * 2 ** (-Math.max(0, elapsedMs) / usageHalfLifeMs);
}
