import { isElastic, timeWithSome } from './elastic.js';
import { leastShareMilli, shareInWords, sharesGpu, wholeGpuMilli } from './gpu-share.js';
import { consortium, type JobRequest, type SnapshotCluster } from './snapshot.js';

/** What one cluster says to one job: it fits now, not now, or never. */
export type Verdict =
  | { readonly fits: 'now' }
  | {
      readonly fits: 'later';
      readonly code: 'capacity' | 'cluster-unavailable' | 'cluster-policy' | 'retry-later';
      readonly says: string;
    }
  | { readonly fits: 'never'; readonly says: string };

const never = (says: string): Verdict => ({ fits: 'never', says });

/** Whether a cluster as it is built and by its policy could ever run the job; what passes with time does not count. */
export function judgeForEver(cluster: SnapshotCluster, job: JobRequest): Verdict & { fits: 'now' | 'never' } {
  const verdict = refusal(cluster, job);
  return verdict === null ? { fits: 'now' } : { fits: 'never', says: verdict };
}

function refusal(cluster: SnapshotCluster, job: JobRequest): string | null {
  const { capacity } = cluster;
  if (cluster.state === 'retired') return 'it has been retired';
  if (capacity === null) return 'its agent has never registered';
  const { policy } = capacity;
  if (job.gpus > capacity.gpus)
    return `it has ${capacity.gpus} GPUs, the job needs ${job.gpus} in one cluster`;
  if (job.gpuType !== null && job.gpuType !== capacity.gpuType)
    return `its GPUs are ${capacity.gpuType}, the job wants ${job.gpuType}`;
  const share = job.gpuShareMilli ?? wholeGpuMilli;
  if (sharesGpu(job)) {
    const { gpuParts = 1 } = policy;
    if (gpuParts <= 1) return `its GPUs are not shared, the job wants ${shareInWords(share)}`;
    if (share < leastShareMilli(gpuParts))
      return `its policy gives no less than ${shareInWords(leastShareMilli(gpuParts))}, the job wants ${shareInWords(share)}`;
  }
  // Of a GPU that it shares, a job has its part of the memory.
  const memoryMiB = Math.floor(((capacity.gpuMemoryMiB ?? 0) * share) / wholeGpuMilli);
  if (job.gpuMemoryMiB !== null && memoryMiB < job.gpuMemoryMiB) {
    if (capacity.gpuMemoryMiB !== null && sharesGpu(job))
      return `${shareInWords(share)} has ${memoryMiB} MiB there, the job needs ${job.gpuMemoryMiB} MiB`;
    const has = capacity.gpuMemoryMiB === null ? 'unknown memory' : `${capacity.gpuMemoryMiB} MiB`;
    return `its GPUs have ${has}, the job needs ${job.gpuMemoryMiB} MiB each`;
  }
  if (!policy.kinds.includes(job.kind)) return `its policy takes no ${job.kind} jobs`;
  if (job.owner === consortium && !policy.consortium) return 'its policy takes no jobs of the consortium';
  if (job.owner !== consortium && policy.labIds !== null && !policy.labIds.includes(job.owner))
    return 'its policy takes no jobs of this lab';
  if (policy.gpusPerJobMax !== null && job.gpus > policy.gpusPerJobMax)
    return `its policy takes jobs of up to ${policy.gpusPerJobMax} GPUs`;
  const seconds = timeWithSome(job.maxSeconds, job.gpus, job.gpusMost ?? job.gpus);
  if (policy.secondsPerJobMax !== null && seconds > policy.secondsPerJobMax) {
    const says = `its policy takes jobs of up to ${policy.secondsPerJobMax} s`;
    return isElastic(job)
      ? `${says}, with ${job.gpus} GPU${job.gpus === 1 ? '' : 's'} the job may take ${seconds} s`
      : says;
  }
  return null;
}

export function isOpenAt(hours: { from: number; to: number } | null, nowMs: number): boolean {
  if (hours === null) return true;
  const hour = Math.floor(nowMs / 3_600_000) % 24;
  return hours.from < hours.to
    ? hour >= hours.from && hour < hours.to
    : hour >= hours.from || hour < hours.to;
}

/**
 * What a cluster with so many free GPUs says to a job at this moment; a shared GPU counts as free to a job that it has
 * room for.
 */
export function judgeNow(
  cluster: SnapshotCluster,
  job: JobRequest & { readonly avoid: readonly string[] },
  freeGpus: number,
  nowMs: number,
): Verdict {
  const forEver = judgeForEver(cluster, job);
  if (forEver.fits === 'never') return never(forEver.says);
  if (cluster.state !== 'active')
    return { fits: 'later', code: 'cluster-unavailable', says: `it is ${cluster.state}` };
  if (cluster.capacity !== null && !isOpenAt(cluster.capacity.policy.hoursUtc, nowMs))
    return { fits: 'later', code: 'cluster-policy', says: 'its policy starts no work at this hour' };
  if (job.avoid.includes(cluster.clusterId))
    return { fits: 'later', code: 'retry-later', says: 'it did not take this job a moment ago' };
  if (freeGpus < job.gpus && sharesGpu(job))
    return {
      fits: 'later',
      code: 'capacity',
      says: `no GPU is free, and no shared one has ${shareInWords(job.gpuShareMilli ?? wholeGpuMilli)} left`,
    };
  if (freeGpus < job.gpus)
    return { fits: 'later', code: 'capacity', says: `${freeGpus} GPUs are free, the job needs ${job.gpus}` };
  return { fits: 'now' };
}

/** Why no cluster could ever run a job, by cluster; null when one could. */
export function whyNever(clusters: readonly SnapshotCluster[], job: JobRequest): string | null {
  const says: string[] = [];
  for (const cluster of clusters) {
    const verdict = judgeForEver(cluster, job);
    if (verdict.fits === 'now') return null;
    if (cluster.state !== 'retired') says.push(`${cluster.name}: ${verdict.says}`);
  }
  return says.length === 0 ? 'the consortium has no cluster yet' : says.join('; ');
}
