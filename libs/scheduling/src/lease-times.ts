import type { LeaseTimes } from './ports.js';

/**
 * All times of the protocol from one: the lease. The agent stops a quarter of it early; the server waits a quarter
 * longer; a long poll takes a quarter at most, so that two answers may be lost before a lease runs out.
 */
export function leaseTimes(leaseTtlMs: number): LeaseTimes {
  const quarter = Math.floor(leaseTtlMs / 4);
  return {
    leaseTtlMs,
    skewMs: Math.min(quarter, 5_000),
    offerTtlMs: leaseTtlMs,
    longPollMs: Math.min(quarter, 10_000),
    // Only between two answers that said something new: a sync that hears nothing waits by itself.
    pollIntervalMs: Math.min(Math.floor(leaseTtlMs / 20), 100),
    stopMarginMs: Math.min(quarter, 15_000),
    // Before its leases are given up, so that nothing is offered again to a cluster that has just been lost.
    downAfterMs: leaseTtlMs,
  };
}
