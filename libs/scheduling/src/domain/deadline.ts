/** Why a job is cancelled when its time is over. */
export function whyOverdue(deadlineMs: number): string {
  return `deadline: it had not ended by ${new Date(deadlineMs).toISOString()}`;
}

/**
 * What there is to say about a deadline that a job may miss; null while its whole time bound fits before it.
 *
 * @param secondsLeft what of its time bound is not used up
 */
export function deadlineAtRisk(nowMs: number, deadlineMs: number, secondsLeft: number): string | null {
  const untilMs = deadlineMs - nowMs;
  if (secondsLeft * 1000 <= untilMs) return null;
  return `Its deadline, ${new Date(deadlineMs).toISOString()}, is ${Math.max(0, Math.floor(untilMs / 1000))} s away, and it may need ${secondsLeft} s: it is cancelled then if it has not ended`;
}
