import type { SuiteDesign } from '@beamtime/contracts';

/** Pythia's schedule doubles up to here, and then saves every thousandth step. */
const pythiaDoublesUntil = 512;
const pythiaEverySteps = 1_000;

/** The steps after which a run of this length is saved: always the last, and by a named schedule also step 0. */
export function checkpointSteps(schedule: SuiteDesign['checkpoints'], steps: number): number[] {
  const chosen = new Set<number>([steps]);
  if (Array.isArray(schedule)) {
    for (const step of schedule) if (step <= steps) chosen.add(step);
  } else {
    chosen.add(0);
    const doublesUntil = schedule === 'pythia' ? Math.min(steps, pythiaDoublesUntil) : steps;
    for (let step = 1; step <= doublesUntil; step *= 2) chosen.add(step);
    if (schedule === 'pythia') {
      for (let step = pythiaEverySteps; step <= steps; step += pythiaEverySteps) chosen.add(step);
    }
  }
  return [...chosen].sort((a, b) => a - b);
}
