import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leavingCost } from './leaving-cost.js';

describe('leaving', () => {
  it('costs what was done since the state was last saved', () => {
    expect(leavingCost({ gpuSeconds: 100, fromStep: 0, reachedStep: 50, savedStep: 40 })).toEqual({
      lostSteps: 10,
      lostGpuSeconds: 20,
    });
    expect(leavingCost({ gpuSeconds: 100, fromStep: 40, reachedStep: 50, savedStep: 50 })).toEqual({
      lostSteps: 0,
      lostGpuSeconds: 0,
    });
  });

  it('costs everything where no step was done, or none is saved', () => {
    expect(
      leavingCost({ gpuSeconds: 7, fromStep: 0, reachedStep: null, savedStep: null }).lostGpuSeconds,
    ).toBe(7);
    expect(leavingCost({ gpuSeconds: 7, fromStep: 0, reachedStep: 9, savedStep: null })).toEqual({
      lostSteps: 9,
      lostGpuSeconds: 7,
    });
    // The state saved by an earlier attempt is no work of this one.
    expect(leavingCost({ gpuSeconds: 7, fromStep: 40, reachedStep: 44, savedStep: 40 }).lostGpuSeconds).toBe(
      7,
    );
  });

  it('never costs more than the attempt was charged, nor less than nothing', () => {
    const step = fc.option(fc.nat(1_000));
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.nat(1_000),
        step,
        step,
        (gpuSeconds, fromStep, reachedStep, savedStep) => {
          const cost = leavingCost({ gpuSeconds, fromStep, reachedStep, savedStep });
          expect(cost.lostSteps).toBeGreaterThanOrEqual(0);
          expect(cost.lostGpuSeconds).toBeGreaterThanOrEqual(0);
          expect(cost.lostGpuSeconds).toBeLessThanOrEqual(gpuSeconds);
        },
      ),
    );
  });
});
