export interface Leaving {
  /** GPU-seconds that the attempt was charged for. */
  readonly gpuSeconds: number;
  /** The step from which it went on; 0 from the beginning. */
  readonly fromStep: number;
  /** The last step that it reported; null when it never came to one. */
  readonly reachedStep: number | null;
  /** The step at which its state was last saved; null when none is. */
  readonly savedStep: number | null;
}

export interface LeavingCost {
  /** Steps that have to be done again. */
  readonly lostSteps: number;
  /** What of its GPU-seconds bought nothing. */
  readonly lostGpuSeconds: number;
}

/** What an attempt loses that is asked to leave: what it did since its state was last saved, or all without steps. */
export function leavingCost({ gpuSeconds, fromStep, reachedStep, savedStep }: Leaving): LeavingCost {
  const kept = Math.max(fromStep, savedStep ?? 0);
  const reached = Math.max(reachedStep ?? 0, kept);
  const done = reached - fromStep;
  const lostSteps = reached - kept;
  return { lostSteps, lostGpuSeconds: done === 0 ? gpuSeconds : (gpuSeconds * lostSteps) / done };
}
