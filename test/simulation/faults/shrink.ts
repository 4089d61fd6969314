import type { EpisodeOptions, EpisodeResult } from './run-episode.js';

export interface Counterexample {
  readonly violates: string;
  readonly options: EpisodeOptions;
}
type Shrinkable = Pick<EpisodeResult, 'violations' | 'faults'>;

/** Replays cost seconds to a minute each. */
const triesAtMost = 80;

/**
 * Makes a violating episode smaller: fewer jobs, then delta debugging over its faults (Zeller and Hildebrandt,
 * "Simplifying and isolating failure-inducing input", 2002), then fewer labs. What is left still violates the same
 * invariant, and of its faults none can be left out, unless the tries ran out.
 */
export async function shrink(
  run: (options: EpisodeOptions) => Promise<Shrinkable>,
  options: EpisodeOptions,
  result: Shrinkable,
  say: (line: string) => void,
): Promise<Counterexample> {
  const violates = result.violations[0]?.what ?? '';
  let smallest: EpisodeOptions = { ...options, only: [...new Set(result.faults)] };
  let tries = 0;
  const stillViolates = async (change: Partial<EpisodeOptions>): Promise<boolean> => {
    if (tries++ >= triesAtMost) return false;
    const candidate = { ...smallest, ...change };
    const again = await run(candidate);
    const does = again.violations.some(({ what }) => what === violates);
    if (does) {
      // Only what struck again can have to do with it.
      const struck = new Set(again.faults);
      smallest = { ...candidate, only: (candidate.only ?? []).filter((name) => struck.has(name)) };
    }
    say(
      `  ${candidate.jobs} jobs, ${candidate.labs} labs, ${candidate.only?.length} faults: ${does ? 'still violated' : 'holds'}`,
    );
    return does;
  };
  // If it does not even violate again with its own faults, it is no use to anybody smaller.
  if (!(await stillViolates({}))) return { violates, options };
  while (smallest.jobs > 1 && (await stillViolates({ jobs: Math.ceil(smallest.jobs / 2) })));
  for (let parts = 2; (smallest.only ?? []).length > 0 && tries < triesAtMost; ) {
    const faults = smallest.only ?? [];
    const size = Math.ceil(faults.length / parts);
    let smaller = false;
    for (let at = 0; at < faults.length && !smaller; at += size)
      smaller = await stillViolates({ only: [...faults.slice(0, at), ...faults.slice(at + size)] });
    if (!smaller && size <= 1) break;
    parts = smaller ? Math.max(2, parts - 1) : Math.min(faults.length, parts * 2);
  }
  while (smallest.labs > 1 && (await stillViolates({ labs: smallest.labs - 1 })));
  while (smallest.jobs > 1 && (await stillViolates({ jobs: smallest.jobs - 1 })));
  return { violates, options: smallest };
}
