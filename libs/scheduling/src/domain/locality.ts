import type { Placement } from './decisions.js';
import type { Snapshot } from './snapshot.js';

/** Bytes of each job's inputs that lie at a cluster already, by job and cluster; who is not in it has none anywhere. */
export type CachedBytes = ReadonlyMap<string, Readonly<Record<string, number>>>;

/** Jobs that one decision looks up: it is for those that start at once, and the next decision follows within the second. */
const lookedUpMost = 256;

/**
 * The jobs of which a decision has to know where their inputs lie: those that it starts. None where there is one cluster
 * to choose from, or none that keeps anything.
 */
export function startsToLookUp(snapshot: Snapshot, place: readonly Placement[]): string[] {
  const active = snapshot.clusters.filter(({ state }) => state === 'active');
  if (active.length < 2 || !active.some(({ keepsInputs }) => keepsInputs)) return [];
  return place.slice(0, lookedUpMost).map(({ jobId }) => jobId);
}

/** Whether a job starts in one cluster while more of its inputs lie at another, so that deciding again may be worth it. */
export function liesElsewhere(place: readonly Placement[], cached: CachedBytes): boolean {
  return place.some(({ jobId, clusterId }) => {
    const bytes = cached.get(jobId);
    const here = bytes?.[clusterId] ?? 0;
    return Object.values(bytes ?? {}).some((there) => there > here);
  });
}

export function withCachedBytes(snapshot: Snapshot, cached: CachedBytes): Snapshot {
  return {
    ...snapshot,
    waiting: snapshot.waiting.map((job) => {
      const cachedBytes = cached.get(job.jobId);
      return cachedBytes === undefined ? job : { ...job, cachedBytes };
    }),
  };
}

const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** In the largest unit of which there is one: `1.2 GB`. */
export function wordsOfBytes(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(1)} ${units[power]}`;
}
