import type { Rank } from '../policy.js';
import type { JobRequest } from '../snapshot.js';

/**
 * GPU-seconds at which a job of Tiresias falls into the next queue. Those of the simulator of Muri (SIGCOMM'22), which
 * has three queues.
 */
export const tiresiasLimitsGpuSeconds: readonly number[] = [3250, 7200];

/** The queue of a job by what it has had; 0 goes first. */
export function tiresiasQueue(attainedGpuSeconds: number): number {
  const queue = tiresiasLimitsGpuSeconds.findIndex((limit) => attainedGpuSeconds < limit);
  return queue === -1 ? tiresiasLimitsGpuSeconds.length : queue;
}

/** Beyond any place in a line: keeps the queues of Tiresias apart in one number. */
const placesMax = 2 ** 45;

/** Less goes first. */
export function rankOf(job: JobRequest, rank: Rank): number {
  switch (rank) {
    case 'srtf':
      return job.remainingSeconds ?? Number.POSITIVE_INFINITY;
    case 'srsf':
      return (job.remainingSeconds ?? Number.POSITIVE_INFINITY) * job.gpus;
    case 'tiresias':
      return tiresiasQueue(job.attainedGpuSeconds ?? 0) * placesMax + (job.place ?? 0);
  }
}
