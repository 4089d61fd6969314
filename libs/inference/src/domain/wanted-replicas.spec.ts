import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Demand,
  type LoadSample,
  quietMs,
  type ReplicaBounds,
  sampleMs,
  wantedReplicas,
} from './wanted-replicas.js';

const bounds: ReplicaBounds = { floor: 0, ceiling: 10, targetInFlight: 4, idleMs: 900_000 };
/** The same load all the time. */
const steady = (inFlight: number, sinceUsedMs: number | null = 0): Demand => ({
  samples: Array.from({ length: quietMs / sampleMs }, (_, at) => ({ ageMs: at * sampleMs, inFlight })),
  sinceUsedMs,
});
const quiet = (sinceUsedMs: number | null): Demand => ({ samples: [], sinceUsedMs });

const anyBounds: fc.Arbitrary<ReplicaBounds> = fc
  .record({
    floor: fc.integer({ min: 0, max: 8 }),
    more: fc.integer({ min: 0, max: 8 }),
    targetInFlight: fc.integer({ min: 1, max: 64 }),
    idleMs: fc.integer({ min: 60_000, max: 86_400_000 }),
  })
  .map(({ floor, more, ...rest }) => ({ ...rest, floor, ceiling: Math.max(1, floor + more) }));
const anySamples: fc.Arbitrary<LoadSample[]> = fc
  .array(fc.float({ min: 0, max: 500, noNaN: true }), { maxLength: 80 })
  .map((loads) => loads.map((inFlight, at) => ({ ageMs: at * sampleMs, inFlight })));
const anyDemand: fc.Arbitrary<Demand> = fc.record({
  samples: anySamples,
  sinceUsedMs: fc.option(fc.integer({ min: 0, max: 100_000_000 })),
});
const anyWanted = fc.integer({ min: 0, max: 16 });

describe('the replicas that a model should have', () => {
  it('stay between floor and ceiling, whatever happens', () => {
    fc.assert(
      fc.property(anyBounds, anyDemand, anyWanted, (limits, demand, now) => {
        const wanted = wantedReplicas(limits, demand, now);
        expect(Number.isInteger(wanted)).toBe(true);
        expect(wanted).toBeGreaterThanOrEqual(limits.floor);
        expect(wanted).toBeLessThanOrEqual(limits.ceiling);
      }),
    );
  });

  it('are never fewer for more load', () => {
    fc.assert(
      fc.property(
        anyBounds,
        anyDemand,
        anyWanted,
        fc.array(fc.float({ min: 0, max: 100, noNaN: true }), { minLength: 80, maxLength: 80 }),
        (limits, demand, now, more) => {
          const samples = demand.samples.map((one, at) => ({
            ...one,
            inFlight: one.inFlight + (more[at] ?? 0),
          }));
          expect(wantedReplicas(limits, { ...demand, samples }, now)).toBeGreaterThanOrEqual(
            wantedReplicas(limits, demand, now),
          );
        },
      ),
    );
  });

  it('do not change twice under a load that stays the same', () => {
    fc.assert(
      fc.property(anyBounds, fc.float({ min: 0, max: 500, noNaN: true }), anyWanted, (limits, load, now) => {
        const first = wantedReplicas(limits, steady(load), now);
        expect(wantedReplicas(limits, steady(load), first)).toBe(first);
      }),
    );
  });

  it('bear a load that goes up and down by a tenth', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.array(fc.float({ min: Math.fround(0.91), max: Math.fround(1.09), noNaN: true }), {
          minLength: 100,
          maxLength: 100,
        }),
        (replicas, swings) => {
          // Around exactly what so many replicas are there for, one sample after the other.
          const full = replicas * bounds.targetInFlight;
          const seen: LoadSample[] = steady(full).samples.slice();
          let wanted = replicas;
          const answers = new Set<number>();
          for (const swing of swings) {
            seen.unshift({ ageMs: 0, inFlight: full * swing });
            const samples = seen.map((one, at) => ({ ...one, ageMs: at * sampleMs }));
            wanted = wantedReplicas(bounds, { samples, sinceUsedMs: 0 }, wanted);
            answers.add(wanted);
          }
          expect([...answers]).toEqual([replicas]);
        },
      ),
    );
  });

  it('go down only when a quiet window has passed since the load was higher', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 10 }),
        fc.integer({ min: 0, max: quietMs / sampleMs - 1 }),
        (replicas, ago) => {
          const samples = [{ ageMs: ago * sampleMs, inFlight: replicas * bounds.targetInFlight }];
          expect(wantedReplicas(bounds, { samples, sinceUsedMs: 0 }, replicas)).toBe(replicas);
          const later = [{ ageMs: quietMs, inFlight: replicas * bounds.targetInFlight }];
          expect(wantedReplicas(bounds, { samples: later, sinceUsedMs: 0 }, replicas)).toBe(1);
        },
      ),
    );
  });

  it('follow the load up, as far as the ceiling', () => {
    expect(wantedReplicas(bounds, steady(4), 1)).toBe(1);
    expect(wantedReplicas(bounds, steady(9), 1)).toBe(3);
    expect(wantedReplicas(bounds, steady(1_000), 1)).toBe(10);
    // One moment among quiet ones counts by half.
    expect(wantedReplicas(bounds, { samples: [{ ageMs: 0, inFlight: 8 }], sinceUsedMs: 0 }, 1)).toBe(1);
  });

  it('are one for a single request that waits, and none when the model has been idle', () => {
    const waiting = { samples: [{ ageMs: 0, inFlight: 1 }], sinceUsedMs: null };
    expect(wantedReplicas(bounds, waiting, 0)).toBe(1);
    expect(wantedReplicas(bounds, quiet(0), 0)).toBe(1);
    expect(wantedReplicas(bounds, quiet(899_999), 1)).toBe(1);
    expect(wantedReplicas(bounds, quiet(900_000), 1)).toBe(0);
    expect(wantedReplicas(bounds, quiet(null), 0)).toBe(0);
    expect(wantedReplicas({ ...bounds, floor: 2 }, quiet(null), 0)).toBe(2);
    // Its floor is let go of when it is lowered, without anybody having asked.
    expect(wantedReplicas(bounds, quiet(null), 2)).toBe(0);
  });
});
