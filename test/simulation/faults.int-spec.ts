import { readdirSync, readFileSync } from 'node:fs';
import { createTemplate, type DatabaseTemplate, freshDatabase } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type EpisodeOptions,
  type EpisodeResult,
  prepareDatabase,
  runEpisode,
} from './faults/run-episode.js';
import { episodeOptions } from './faults/run-episodes.js';
import type { Counterexample } from './faults/shrink.js';
import { installVirtualTime } from './faults/virtual-time.js';

/** `npm run simulate:faults` runs any number; here what takes minutes: `BEAMTIME_SLOW=1`. */
const slow = process.env['BEAMTIME_SLOW'] === '1';
const jobs = 60;
const kept = new URL('./faults/counterexamples/', import.meta.url);

let template: DatabaseTemplate;
let uninstall: (() => void) | undefined;
beforeAll(async () => {
  if (!slow) return;
  template = await createTemplate(prepareDatabase, 'faults');
  uninstall = installVirtualTime();
});
afterAll(() => uninstall?.());

async function run(options: EpisodeOptions): Promise<EpisodeResult> {
  const database = await freshDatabase({ from: template });
  try {
    return await runEpisode(database.url, options);
  } finally {
    await database.drop();
  }
}

describe.runIf(slow)('the scheduler, the ledger and agents under faults', { timeout: 600_000 }, () => {
  it('lose no job, commit none twice, charge each GPU-second once, and recover in time', async () => {
    const results = await Promise.all([11, 12].map((seed) => run(episodeOptions(seed, jobs))));
    for (const result of results) {
      expect(result.violations).toEqual([]);
      expect(result.jobs).toBe(jobs);
      expect(result.gpuSecondsPosted).toBe(result.gpuSecondsUsed);
    }
    // Otherwise the above would show nothing.
    expect(results.flatMap(({ faults }) => faults).length).toBeGreaterThan(50);
    expect(results.reduce((sum, { attempts }) => sum + attempts, 0)).toBeGreaterThan(2 * jobs);
  });

  // Two runs of one seed agree in most and differ in the order of a few statements; what does it is not found yet.
  it.todo('do the same again when a seed is replayed');

  for (const file of readdirSync(kept).filter((name) => name.endsWith('.json'))) {
    const { violates, options } = JSON.parse(readFileSync(new URL(file, kept), 'utf8')) as Counterexample;
    it(`no longer have this: ${violates} (${file})`, async () => {
      expect((await run(options)).violations).toEqual([]);
    });
  }
});
