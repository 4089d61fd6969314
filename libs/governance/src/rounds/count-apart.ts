import { once } from 'node:events';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { ClosedRound, CountedRound } from './count-closed-round.js';

/** The largest count measured (131,778 ballots) needs a fifth of it; past it the count fails, not the service. */
const maxHeapMb = 2_048;
const countTimeoutMs = 10 * 60_000;

/**
 * The program by its public name and not by a path beside this file: a thread runs compiled code only, also where
 * this file itself is run from its source.
 */
const program = createRequire(import.meta.url).resolve('@beamtime/governance/count-worker');

/**
 * Counts in a thread of its own: a count of thousands of ballots takes seconds, in which the service must go on
 * answering. Rejects if the count throws, needs too much memory or time, or `signal` stops it.
 */
export async function countApart(round: ClosedRound, signal: AbortSignal): Promise<CountedRound> {
  const worker = new Worker(program, {
    workerData: round,
    // Not those of whoever runs this from its source, which would lead the thread to sources as well.
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
  });
  const ended = new AbortController();
  try {
    const stop = AbortSignal.any([signal, ended.signal, AbortSignal.timeout(countTimeoutMs)]);
    return await Promise.race([
      once(worker, 'message', { signal: stop }).then(([counted]) => counted as CountedRound),
      once(worker, 'exit', { signal: stop }).then(([code]) => {
        throw new Error(`the thread that counted ended with exit code ${String(code)} and without a result`);
      }),
    ]);
  } finally {
    ended.abort();
    await worker.terminate();
  }
}
