import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterAcceptance,
  afterRefusal,
  type CapacityTrust,
  fullTrust,
  trustedGpus,
} from './trusted-capacity.js';

const minuteMs = 60_000;
/** Refuses an offer three times. */
function refused(trust: CapacityTrust, gpus: number, busyGpus: number, nowMs: number): CapacityTrust {
  let next = trust;
  for (let time = 0; time < 3; time++) next = afterRefusal(next, { gpus, busyGpus }, nowMs);
  return next;
}

describe('trust in what a cluster claims', () => {
  it('ends with the third refusal in a row, at what it was not seen to lack', () => {
    let trust = afterRefusal(fullTrust, { gpus: 8, busyGpus: 2 }, 0);
    trust = afterRefusal(trust, { gpus: 4, busyGpus: 2 }, 0);
    expect(trustedGpus(1_000_000, trust, 0)).toBe(1_000_000);
    trust = afterRefusal(trust, { gpus: 16, busyGpus: 2 }, 0);
    expect(trustedGpus(1_000_000, trust, 0)).toBe(5);
  });

  it('comes back after a while that doubles each time', () => {
    const once = refused(fullTrust, 4, 0, 0);
    expect(trustedGpus(8, once, 10 * minuteMs - 1)).toBe(3);
    expect(trustedGpus(8, once, 10 * minuteMs)).toBe(8);
    const twice = refused(once, 4, 0, 20 * minuteMs);
    expect(trustedGpus(8, twice, 39 * minuteMs)).toBe(3);
    expect(trustedGpus(8, twice, 40 * minuteMs)).toBe(8);
  });

  it('comes back as far as more is seen to run', () => {
    const bounded = refused(fullTrust, 4, 0, 0);
    expect(trustedGpus(8, afterAcceptance(bounded, 2), 0)).toBe(3);
    expect(trustedGpus(8, afterAcceptance(bounded, 6), 0)).toBe(6);
  });

  it('never exceeds the claim, whatever the agent claims next', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 1_000_000 }),
        fc.array(fc.record({ gpus: fc.integer({ min: 1, max: 4_096 }), busyGpus: fc.nat({ max: 4_096 }) })),
        (claim, offers) => {
          let trust = fullTrust;
          for (const offer of offers) trust = afterRefusal(trust, offer, 0);
          const counted = trustedGpus(claim, trust, 0);
          expect(counted).toBeLessThanOrEqual(claim);
          expect(counted).toBeGreaterThanOrEqual(0);
          // A cluster that refuses everything is soon offered nothing that it has refused.
          const least = Math.min(...offers.map((offer) => offer.gpus + offer.busyGpus));
          if (offers.length >= 3 && offers.every((o) => o.gpus + o.busyGpus === least))
            expect(counted).toBeLessThan(Math.max(1, least));
        },
      ),
    );
  });
});
