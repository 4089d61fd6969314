/**
 * How many GPUs of a cluster decisions count on. An agent says what it has, and nobody can look; but one that claims
 * more than it can run gives itself away, since it does not take what it is offered. Its claim is then bounded by what
 * it was seen to run, for a while that doubles each time, after which it is believed again.
 */
export interface CapacityTrust {
  /** GPUs counted on at most; null while the claim is believed. */
  readonly boundGpus: number | null;
  /** Until when the bound holds. */
  readonly untilMs: number;
  /** Refusals for want of capacity in a row, within the claim. */
  readonly refusals: number;
  /** How often it has been bounded. */
  readonly strikes: number;
  /** The least number of GPUs that a refusal of this row has shown not to be there. */
  readonly missingGpus: number | null;
}

export const fullTrust: CapacityTrust = {
  boundGpus: null,
  untilMs: 0,
  refusals: 0,
  strikes: 0,
  missingGpus: null,
};

/** One refusal may be a race with a job that has just ended; three in a row are not. */
export const refusalsBeforeBound = 3;
const boundBaseMs = 10 * 60_000;
const boundMaxMs = 24 * 3_600_000;

/**
 * The cluster did not take an offer of `gpus` for want of capacity, or let it lapse, while `busyGpus` ran there. Both
 * together were within what it claims.
 */
export function afterRefusal(
  trust: CapacityTrust,
  offer: { readonly gpus: number; readonly busyGpus: number },
  nowMs: number,
): CapacityTrust {
  const missing = Math.min(trust.missingGpus ?? Number.POSITIVE_INFINITY, offer.busyGpus + offer.gpus);
  const refusals = trust.refusals + 1;
  if (refusals < refusalsBeforeBound) return { ...trust, refusals, missingGpus: missing };
  const strikes = trust.strikes + 1;
  return {
    boundGpus: Math.max(0, missing - 1),
    untilMs: nowMs + Math.min(boundMaxMs, boundBaseMs * 2 ** Math.min(strikes - 1, 20)),
    refusals: 0,
    strikes,
    missingGpus: null,
  };
}

/** So many GPUs run there now: what was doubted at or below that number is there after all. */
export function afterAcceptance(trust: CapacityTrust, busyGpus: number): CapacityTrust {
  const boundRefuted = trust.boundGpus !== null && busyGpus > trust.boundGpus;
  const rowRefuted = trust.missingGpus !== null && busyGpus >= trust.missingGpus;
  if (!boundRefuted && !rowRefuted) return trust;
  return {
    ...trust,
    ...(rowRefuted ? { refusals: 0, missingGpus: null } : {}),
    ...(boundRefuted ? { boundGpus: busyGpus } : {}),
  };
}

/** The GPUs to count on, of those that the agent claims. */
export function trustedGpus(claimedGpus: number, trust: CapacityTrust, nowMs: number): number {
  if (trust.boundGpus === null || nowMs >= trust.untilMs) return claimedGpus;
  return Math.min(claimedGpus, trust.boundGpus);
}
