import type { EpisodeOptions, EpisodeResult } from './run-episode.js';

export interface Counterexample {
  readonly violates: string;
  readonly options: EpisodeOptions;
}

/** Replays cost seconds to a minute each. */
const triesAtMost = 60;

/**
 * Makes a violating episode smaller: fewer jobs, then delta debugging over its faults (Zeller and Hildebrandt,
 * "Simplifying and isolating failure-inducing input", 2002). What is left still violates the same invariant.
 */
export async function shrink(
  run: (options: EpisodeOptions) => Promise<EpisodeResult>,
  options: EpisodeOptions,
  result: EpisodeResult,
  say: (line: string) => void,
): Promise<Counterexample> {
  const violates = result.violations[0]?.what ?? '';
  let smallest: EpisodeOptions = { ...options, only: [...new Set(result.faults)] };
  let tries = 0;
  const stillViolates = async (candidate: EpisodeOptions): Promise<boolean> => {
    if (tries++ >= triesAtMost) return false;
    const again = await run(candidate);
    const does = again.violations.some(({ what }) => what === violates);
    if (does) smallest = candidate;
    say(`  ${candidate.jobs} jobs, ${candidate.only?.length} faults: ${does ? 'still violated' : 'holds'}`);
    return does;
  };
  if (!(await stillViolates(smallest))) return { violates, options };
  for (let jobs = Math.ceil(smallest.jobs / 2); jobs >= 1; jobs = Math.ceil(jobs / 2)) {
    if (!(await stillViolates({ ...smallest, jobs })) || jobs === 1) break;
  }
  for (let parts = 2; ; ) {
    const faults = smallest.only ?? [];
    const size = Math.ceil(faults.length / parts);
    let smaller = false;
    for (let at = 0; at < faults.length && !smaller; at += size) {
      const rest = [...faults.slice(0, at), ...faults.slice(at + size)];
      smaller = await stillViolates({ ...smallest, only: rest });
    }
    if (tries >= triesAtMost || (!smaller && size <= 1)) break;
    parts = smaller ? Math.max(2, parts - 1) : Math.min((smallest.only ?? []).length, parts * 2);
  }
  return { violates, options: smallest };
}
