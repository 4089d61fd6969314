import { expect, it } from 'vitest';
import type { Federation } from './federation.js';
import { simulateSilos } from './simulate-silos.js';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

it('labs alone serve who came first, pass over gangs that do not fit, and share nothing', () => {
  const federation: Federation = {
    labIds: ['a', 'b'],
    gpusOfLabs: [4, 8],
    outages: [],
    jobs: [
      { submitMs: 0, durationMs: hourMs, gpus: 3, lab: 0 },
      { submitMs: 1, durationMs: hourMs, gpus: 4, lab: 0 },
      { submitMs: 2, durationMs: minuteMs, gpus: 1, lab: 0 },
      { submitMs: 3, durationMs: minuteMs, gpus: 8, lab: 1 },
    ],
  };
  expect(simulateSilos(federation)).toEqual({
    endMs: Float64Array.from([hourMs, 2 * hourMs, 2 + minuteMs, 3 + minuteMs]),
    preemptions: 0,
    lostGpuMs: 0,
    decisions: 0,
  });
});

it('an outage costs a lab alone what was not saved, and a restart', () => {
  const federation: Federation = {
    labIds: ['a'],
    gpusOfLabs: [4],
    outages: [{ lab: 0, fromMs: 40 * minuteMs, toMs: 100 * minuteMs }],
    jobs: [{ submitMs: 0, durationMs: hourMs, gpus: 2, lab: 0 }],
  };
  const { endMs, preemptions, lostGpuMs } = simulateSilos(federation);
  // 30 of 40 minutes were saved; 7 s to start again, and the 30 minutes that are left.
  expect([...endMs]).toEqual([130 * minuteMs + 7_000]);
  expect(preemptions).toBe(1);
  expect(lostGpuMs).toBe(2 * (10 * minuteMs + 7_000));
});
