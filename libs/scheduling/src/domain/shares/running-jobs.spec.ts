import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RunningJobs, type RunsHere } from './running-jobs.js';

interface Guest extends RunsHere {
  level: number;
  preemptible: boolean;
  leaving: boolean;
  isProtected: boolean;
  startedMs: number;
  savedMs: number;
  readonly owner: string;
}

const levels = 4;
const someGuest = fc
  .record({
    gpus: fc.integer({ min: 1, max: 4 }),
    level: fc.integer({ min: 0, max: levels - 1 }),
    preemptible: fc.boolean(),
    leaving: fc.boolean(),
    isProtected: fc.boolean(),
    startedMs: fc.integer({ min: 0, max: 100 }),
    savedMs: fc.integer({ min: 0, max: 100 }),
    savesEveryMs: fc.option(fc.integer({ min: 1, max: 40 })),
    owner: fc.constantFrom('a', 'b'),
  })
  .map((guest): Guest => ({ ...guest, at: -1, preemptible: guest.preemptible || guest.gpus > 1 }));

/** What is done with what runs, in any order. */
const someSteps = fc.array(
  fc.oneof(
    fc.record({ does: fc.constant('add' as const), guest: someGuest }),
    fc.record({
      does: fc.constantFrom('remove' as const, 'raise' as const, 'leave' as const, 'protect' as const),
      which: fc.nat(),
    }),
    fc.record({
      does: fc.constant('save' as const),
      which: fc.nat(),
      savedMs: fc.integer({ min: 0, max: 100 }),
    }),
  ),
  { maxLength: 80 },
);

function run(steps: typeof someSteps extends fc.Arbitrary<infer Steps> ? Steps : never): RunningJobs<Guest> {
  const running = new RunningJobs<Guest>(levels);
  for (const step of steps) {
    if (step.does === 'add') {
      running.add({ ...step.guest });
      continue;
    }
    const guest = running.jobs[step.which % Math.max(1, running.jobs.length)];
    if (guest === undefined) continue;
    if (step.does === 'remove') running.remove(guest);
    else if (step.does === 'save') {
      guest.savedMs = step.savedMs;
      running.saved(guest);
    } else {
      if (step.does === 'raise') guest.level = Math.min(levels - 1, guest.level + 1);
      if (step.does === 'leave') guest.leaving = true;
      if (step.does === 'protect') guest.isProtected = !guest.isProtected;
      running.changed(guest);
    }
  }
  return running;
}

function lossMsOf({ savedMs, savesEveryMs }: Guest, nowMs: number): number {
  return savesEveryMs === null || nowMs < savedMs ? nowMs - savedMs : (nowMs - savedMs) % savesEveryMs;
}

describe('what runs in a cluster', () => {
  it('counts what may be asked to leave, by the level that may ask', () => {
    fc.assert(
      fc.property(someSteps, (steps) => {
        const running = run(steps);
        for (let level = 0; level < levels; level++) {
          const askable = running.jobs.filter(
            (guest) => guest.preemptible && !guest.leaving && !guest.isProtected && guest.level > level,
          );
          expect(running.askableGpus[level]).toBe(askable.reduce((sum, { gpus }) => sum + gpus, 0));
        }
        for (const [at, guest] of running.jobs.entries()) expect(guest.at).toBe(at);
      }),
    );
  });

  it('names those whose leaving loses least, as a search that looks at each job does', () => {
    const some = fc.record({
      gpus: fc.integer({ min: 1, max: 12 }),
      belowLevel: fc.integer({ min: -1, max: levels - 1 }),
      lossMaxMs: fc.integer({ min: 0, max: 60 }),
      minRunMs: fc.integer({ min: 0, max: 30 }),
      owner: fc.option(fc.constantFrom('a', 'b')),
    });
    fc.assert(
      fc.property(someSteps, fc.array(some, { minLength: 1, maxLength: 5 }), (steps, searches) => {
        const running = run(steps);
        let nowMs = 100;
        for (const { gpus, belowLevel, lossMaxMs, minRunMs, owner } of searches) {
          nowMs += 17;
          const passes = owner === null ? null : (guest: Guest) => guest.owner !== owner;
          const found = running.whoLosesLeast(gpus, { nowMs, belowLevel, lossMaxMs, minRunMs, passes });
          const may = running.jobs
            .filter((guest) => guest.preemptible && !guest.leaving && !guest.isProtected)
            .filter((guest) => guest.level > belowLevel && nowMs - guest.startedMs >= minRunMs)
            .filter((guest) => lossMsOf(guest, nowMs) <= lossMaxMs && (passes === null || passes(guest)))
            .sort((a, b) => lossMsOf(a, nowMs) - lossMsOf(b, nowMs));
          let offered = 0;
          const enough = may.findIndex((guest) => {
            offered += guest.gpus;
            return offered >= gpus;
          });
          if (enough === -1) {
            expect(found).toBeUndefined();
            continue;
          }
          // From the dearest on, whoever is not needed stays.
          const leave = may.slice(0, enough + 1);
          for (let last = leave.length - 1; last >= 0; last--) {
            const held = leave[last]?.gpus ?? 0;
            if (offered - held >= gpus) {
              offered -= held;
              leave.splice(last, 1);
            }
          }
          expect(found?.leave).toEqual(leave);
        }
      }),
      { numRuns: 300 },
    );
  });
});
