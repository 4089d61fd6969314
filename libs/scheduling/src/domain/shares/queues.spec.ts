import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LookAheadQueue } from './look-ahead-queue.js';
import { OwnerTurns } from './owner-turns.js';
import { hasBetterClaim, type OwnerNow } from './state.js';
import { TimeHeap } from './time-heap.js';

describe('what is due at a time', () => {
  it('comes earliest first, whatever was put in and taken out before', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 50 })), { maxLength: 200 }), (steps) => {
        const heap = new TimeHeap<number>();
        const known: number[] = [];
        for (const step of steps) {
          if (step !== null) {
            heap.push(step, step);
            known.push(step);
            known.sort((a, b) => a - b);
          } else expect(heap.pop()).toBe(known.shift());
          expect(heap.nextMs).toBe(known[0] ?? Number.POSITIVE_INFINITY);
          expect(heap.size).toBe(known.length);
        }
      }),
    );
  });
});

describe('a queue that is looked into', () => {
  it('takes what a walk over its first few takes', () => {
    const step = fc.oneof(
      fc.record({ comes: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ frees: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ returns: fc.integer({ min: 1, max: 6 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const lookAhead = 4;
        const queue = new LookAheadQueue<{ readonly id: number; readonly gpus: number }>(lookAhead);
        let known: { id: number; gpus: number }[] = [];
        let [free, knownFree, ids] = [0, 0, 0];
        const taken: number[] = [];
        const knownTaken: number[] = [];
        const take = ({ id, gpus }: { id: number; gpus: number }) => {
          if (gpus > free) return false;
          free -= gpus;
          taken.push(id);
          return true;
        };
        const walk = () => {
          let looked = 0;
          known = known.filter(({ id, gpus }) => {
            if (looked >= lookAhead || gpus > knownFree) {
              looked++;
              return true;
            }
            knownFree -= gpus;
            knownTaken.push(id);
            return false;
          });
        };
        for (const one of steps) {
          if ('comes' in one) {
            const item = { id: ids++, gpus: one.comes };
            queue.pushOrTake(item, take);
            known.push(item);
          } else if ('frees' in one) {
            free += one.frees;
            knownFree += one.frees;
            queue.takeWhatFits(() => free > 0, take);
          } else {
            // Stopped by an outage, from before all others.
            const item = { id: -++ids, gpus: one.returns };
            queue.push(item);
            queue.sort((a, b) => a.id - b.id);
            queue.takeWhatFits(() => free > 0, take);
            known = [...known, item].sort((a, b) => a.id - b.id);
          }
          walk();
          expect(taken).toEqual(knownTaken);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('turns of owners', () => {
  const some = fc.record({
    load: fc.integer({ min: 0, max: 5 }),
    creditGpuSeconds: fc.integer({ min: -2, max: 2 }),
    jobs: fc.integer({ min: 1, max: 4 }),
  });

  it('go to the one with the best claim of those that have something left', () => {
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 12 }), (labs) => {
        const owners = labs.map(
          ({ load, creditGpuSeconds }, lab): OwnerNow => ({
            owner: `lab-${lab}`,
            entitledGpus: 4,
            recentGpuSeconds: 0,
            creditGpuSeconds,
            runningGpus: 4 * load,
            load,
            queues: [],
          }),
        );
        const left = new Map(owners.map((owner, at) => [owner, labs[at]?.jobs ?? 0]));
        const turns = new OwnerTurns(owners, null);
        for (let owner = turns.first; owner !== undefined; owner = turns.first) {
          const jobs = left.get(owner) ?? 0;
          expect([...left.keys()].filter((other) => hasBetterClaim(other, owner as OwnerNow))).toEqual([]);
          if (jobs === 0) {
            left.delete(owner);
            turns.drop();
            continue;
          }
          left.set(owner, jobs - 1);
          owner.load += 1;
          turns.moveBack();
        }
        expect(left.size).toBe(0);
      }),
    );
  });
});
