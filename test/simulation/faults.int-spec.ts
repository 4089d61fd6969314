import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createTemplate, type DatabaseTemplate, freshDatabase } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commitsTwice } from './faults/commits-twice.js';
import {
  allKinds,
  everyNth,
  faultKinds,
  possibleFaults,
  runWithOne,
  smallWorld,
  someOfEach,
  sortOf,
  TriedFaults,
} from './faults/every-step.js';
import {
  type EpisodeHooks,
  type EpisodeOptions,
  type EpisodeResult,
  prepareDatabase,
  runEpisode,
} from './faults/run-episode.js';
import { episodeOptions } from './faults/run-episodes.js';
import { type Counterexample, shrink } from './faults/shrink.js';
import { installVirtualTime } from './faults/virtual-time.js';
import { writesWhenSuperseded } from './faults/writes-when-superseded.js';

/** `npm run simulate:faults` runs any number; `BEAMTIME_SLOW=1` some more of them here. */
const slow = process.env['BEAMTIME_SLOW'] === '1';
const kept = new URL('./faults/counterexamples/', import.meta.url);

let template: DatabaseTemplate;
let uninstall: (() => void) | undefined;
beforeAll(async () => {
  template = await createTemplate(prepareDatabase, 'faults');
  uninstall = installVirtualTime();
});
afterAll(() => uninstall?.());

async function run(options: EpisodeOptions, hooks?: EpisodeHooks): Promise<EpisodeResult> {
  const database = await freshDatabase({ from: template });
  try {
    return await runEpisode(database.url, options, hooks);
  } finally {
    await database.drop();
  }
}

function nothingLostOrDoubled(result: EpisodeResult, jobs: number): void {
  expect(result.violations).toEqual([]);
  expect(result.jobs).toBe(jobs);
  expect(result.gpuSecondsPosted).toBe(result.gpuSecondsUsed);
}

describe('the scheduler, the ledger and agents under faults', { timeout: 900_000 }, () => {
  it('lose no job, commit none twice, charge each GPU-second once, and recover in time', async () => {
    const jobs = 200;
    const result = await run(episodeOptions(3, jobs));
    nothingLostOrDoubled(result, jobs);
    // Otherwise the above would show nothing.
    expect(result.faults.length).toBeGreaterThan(40);
    expect(result.attempts).toBeGreaterThan(jobs);
  });

  it('do the same again when a seed is replayed: to the statement, its parameters and its answer', async () => {
    const options = { ...episodeOptions(7, 12), stepsMost: 4, labs: 2 };
    const first = await run(options);
    expect(first.faults.length).toBeGreaterThan(3);
    // With it `trace`, the hash of them all.
    expect(await run(options)).toEqual(first);
    expect((await run({ ...options, seed: 8, only: first.faults })).trace).not.toBe(first.trace);
  });

  it('are seen to commit twice if they do, and the schedule that shows it is made as small as can be', async () => {
    const options: EpisodeOptions = {
      ...{ seed: 4, jobs: 2, labs: 1, gpusPerLab: 16, jobsPerSecond: 10, stepsMost: 2 },
      only: Array.from({ length: 12 }, (_, n) => `message/lab0#1/agent/advance/${n + 1}/repeated`),
    };
    const spoilt = (candidate: EpisodeOptions) => run(candidate, { spoil: commitsTwice });
    const found = await spoilt(options);
    expect(found.violations.map(({ what }) => what)).toContain('a job ended other than once');
    expect(found.faults.length).toBeGreaterThan(2);
    const smallest = await shrink(spoilt, options, found, () => undefined);
    // One message of one job that is said again is all that it takes.
    expect(smallest.options).toMatchObject({ jobs: 1, only: [expect.stringMatching(/advance.*repeated$/)] });
    expect((await spoilt(smallest.options)).violations.map(({ what }) => what)).toEqual([smallest.violates]);
    expect((await run(smallest.options)).violations).toEqual([]);
  });

  it('are seen to write for an agent process that they refuse if they do', async () => {
    const file = new URL('superseded-agent-says-more.json', kept);
    const { options } = JSON.parse(readFileSync(file, 'utf8')) as Counterexample;
    const { violations } = await run(options, { spoil: writesWhenSuperseded });
    expect(violations.map(({ facts }) => facts['what'])).toContainEqual(
      expect.stringContaining('agent-superseded, and yet something was committed'),
    );
  });

  describe('one at a time, at some of the steps of a small world', () => {
    let possible: Awaited<ReturnType<typeof possibleFaults>>;
    beforeAll(async () => {
      possible = await possibleFaults(run, smallWorld);
    }, 300_000);

    it('has all that may happen to a job, and a world in which nothing else happens', () => {
      nothingLostOrDoubled(possible.undisturbed, smallWorld.jobs);
      expect(possible.undisturbed.faults).toEqual(smallWorld.only);
      expect(possible.undisturbed.byState).toEqual({ cancelled: 1, preempted: 1, succeeded: 2 });
      expect(possible.undisturbed.attempts).toBe(4);
    });

    // `npm run simulate:faults -- --every-step` takes all of them.
    it.each(allKinds)('lose and double nothing: %s', async (kind) => {
      const faults = possible.faults.filter((name) => faultKinds[kind].test(name));
      const sorts = new Set(faults.map(sortOf)).size;
      const some = someOfEach(faults, sorts > 2 ? 1 : 2);
      expect(some.length).toBeGreaterThan(1);
      for (const fault of some) {
        const result = await runWithOne(run, smallWorld, fault);
        expect(result.violations, fault).toEqual([]);
        nothingLostOrDoubled(result, smallWorld.jobs);
      }
    });
  });

  for (const file of readdirSync(kept).filter((name) => name.endsWith('.json'))) {
    const { violates, options } = JSON.parse(readFileSync(new URL(file, kept), 'utf8')) as Counterexample;
    it(`no longer have this: ${violates} (${file})`, async () => {
      expect((await run(options)).violations).toEqual([]);
    });
  }

  it.runIf(slow)('lose and double nothing in larger worlds either', async () => {
    for (const seed of [11, 12]) nothingLostOrDoubled(await run(episodeOptions(seed, 600)), 600);
  });
});

describe('trying every step', () => {
  const faults = Array.from({ length: 16 }, (_, n) => [`sql/a/${n}/killed`, `message/b/${n}/late`]).flat();

  it('takes every one once; those so far lie spread over the steps and over what can happen, whenever one stops', () => {
    const all = everyNth(faults, 1);
    expect([...all].sort()).toEqual([...faults].sort());
    const quarter = all.slice(0, 8);
    for (const sort of ['sql killed', 'message late']) {
      const steps = quarter.filter((name) => sortOf(name) === sort).map((name) => Number(/\d+/.exec(name)));
      expect(steps.sort((a, b) => a - b)).toEqual([0, 4, 8, 12]);
    }
  });

  it('takes each n-th of what can happen, or a few of each', () => {
    expect(everyNth(faults, 8)).toEqual([
      ...['sql/a/0/killed', 'message/b/0/late', 'sql/a/8/killed', 'message/b/8/late'],
    ]);
    expect(someOfEach(faults, 2)).toEqual([
      ...['sql/a/4/killed', 'sql/a/12/killed', 'message/b/4/late', 'message/b/12/late'],
    ]);
    expect(someOfEach(faults.slice(0, 1), 2)).toEqual(['sql/a/0/killed']);
  });

  it('leaves out what the file of results has of the same world, and counts it', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'beamtime-every-step-')), 'tried.json');
    const result = { attempts: 4, statements: 100, virtualSeconds: 9, violations: [] };
    const [first = '', second = ''] = faults;
    new TriedFaults({ trace: 'one' }, path).add(first, result as unknown as EpisodeResult);
    expect(new TriedFaults({ trace: 'other' }, path).has(first)).toBe(false);
    const again = new TriedFaults({ trace: 'one' }, path);
    expect([again.has(first), again.has(second)]).toEqual([true, false]);
    const violated = { ...result, violations: [{ what: 'broken', atMs: 0, facts: {} }] };
    again.add(second, violated as unknown as EpisodeResult);
    expect(again.total([first, second])).toMatchObject({
      ...{ possible: 2, runs: 2, violated: 1, attempts: 8, statements: 200 },
      bySort: { 'message late': { runs: 1, violated: 1, longestSeconds: 9 } },
    });
    rmSync(dirname(path), { recursive: true });
  });
});

describe('shrinking', () => {
  const faults = Array.from({ length: 20 }, (_, n) => `fault ${n}`);
  const options: EpisodeOptions = { ...episodeOptions(1, 64), labs: 5 };
  const violation = { what: 'broken', atMs: 0, facts: {} };

  it('leaves the faults that it takes together, and as few jobs and labs as show it', async () => {
    let runs = 0;
    const candidate = (one: EpisodeOptions) => {
      runs++;
      const struck = faults.filter((name) => one.only?.includes(name) ?? true);
      const breaks = ['fault 3', 'fault 17'].every((name) => struck.includes(name)) && one.jobs >= 5;
      return Promise.resolve({ faults: struck, violations: breaks ? [violation] : [] });
    };
    const found = await candidate(options);
    const { violates, options: smallest } = await shrink(candidate, options, found, () => undefined);
    expect(violates).toBe('broken');
    expect(smallest.only).toEqual(['fault 3', 'fault 17']);
    expect(smallest).toMatchObject({ jobs: 5, labs: 1 });
    expect(runs).toBeLessThan(80);
  });

  it('keeps the whole when it does not violate again', async () => {
    const holds = () => Promise.resolve({ faults, violations: [] });
    const result = { faults, violations: [violation] };
    expect(await shrink(holds, options, result, () => undefined)).toEqual({ violates: 'broken', options });
  });
});
