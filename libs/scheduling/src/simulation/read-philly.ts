import { ok, type Result } from '@beamtime/kernel';
import { decimal, name, readTable, type TraceProblem, wholeNumber } from './read-table.js';

/** One job of a trace of many virtual clusters, each of which is a lab here. */
export interface PhillyJob {
  /** From the beginning of the window. */
  readonly submitMs: number;
  readonly durationMs: number;
  readonly gpus: number;
  readonly labId: string;
}

/** Virtual clusters with too few jobs to be a lab, left out as in the published preparation. */
export const phillyLeftOut: readonly string[] = ['795a4c', '51b7ef', '925e2b', '23dbec'];
export const phillyFrom = '2017-10-03';
/** The first day after the window. */
export const phillyTo = '2017-12-15';

const gpusMax = 4_096;
/** Ten years. */
const secondsMax = 315_360_000;

/**
 * Reads the Philly trace (Jeon et al., ATC'19; as prepared for Sia): `timestamp`, `duration` in seconds, `num_gpus`,
 * `cluster`. Keeps what was submitted in the window, by time of submission; jobs of one second stay in their order.
 */
export function readPhillyTrace(text: string): Result<PhillyJob[], TraceProblem> {
  const table = readTable(text, {
    at: {
      name: 'timestamp',
      is: 'a time such as 2017-10-09 07:01:55',
      read: (cell) => readTime(cell),
    },
    seconds: decimal('duration', 0, true, secondsMax),
    gpus: wholeNumber('num_gpus', 1, gpusMax),
    lab: name('cluster'),
  });
  if (!table.ok) return table;
  const [from, to] = [Date.parse(`${phillyFrom}T00:00:00Z`), Date.parse(`${phillyTo}T00:00:00Z`)];
  const jobs = table.value
    .filter(({ at, lab }) => at >= from && at < to && !phillyLeftOut.includes(lab))
    .map(({ at, seconds, gpus, lab }) => ({
      submitMs: at - from,
      durationMs: Math.round(seconds * 1000),
      gpus,
      labId: lab,
    }));
  return ok(jobs.sort((a, b) => a.submitMs - b.submitMs));
}

/** Length of the window. */
export const phillyWindowMs = Date.parse(`${phillyTo}T00:00:00Z`) - Date.parse(`${phillyFrom}T00:00:00Z`);

function readTime(cell: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(cell)) return undefined;
  const ms = Date.parse(`${cell.replace(' ', 'T')}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}
