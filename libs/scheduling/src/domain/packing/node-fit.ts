import { wholeGpuMilli } from '../gpu-share.js';
import type { JobRequest, NodeShare, SnapshotNode } from '../snapshot.js';

export { wholeGpuMilli };
/** Of a GPU that a job does not share. */
export function shareOf(job: JobRequest): number {
  return job.gpus === 0 ? 0 : (job.gpuShareMilli ?? wholeGpuMilli);
}

export function acceptsType(job: JobRequest, gpuType: string | null): boolean {
  if (job.gpus === 0) return true;
  const types = job.gpuTypes ?? (job.gpuType === null ? [] : [job.gpuType]);
  return types.length === 0 || (gpuType !== null && types.includes(gpuType));
}

/** Whether a node has the CPU, the memory and the GPUs that a job asks for. */
export function fits(node: SnapshotNode, job: JobRequest): boolean {
  if (node.freeCpuMilli < (job.cpuMilli ?? 0) || node.freeMemoryMiB < (job.memoryMiB ?? 0)) return false;
  return acceptsType(job, node.gpuType) && hasGpus(node.freeGpuMilli, job.gpus, shareOf(job));
}

export function hasGpus(freeGpuMilli: readonly number[], gpus: number, shareMilli: number): boolean {
  let lacking = gpus;
  for (const free of freeGpuMilli) if (lacking > 0 && free >= shareMilli) lacking--;
  return lacking <= 0;
}

/** The GPUs that take the share with the least left over, ties by index: whole GPUs for a job that shares none. */
export function tightestGpus(node: SnapshotNode, job: JobRequest): number[] {
  const share = shareOf(job);
  const able = [...node.freeGpuMilli.keys()].filter((gpu) => (node.freeGpuMilli[gpu] ?? 0) >= share);
  return able
    .sort((a, b) => (node.freeGpuMilli[a] ?? 0) - (node.freeGpuMilli[b] ?? 0) || a - b)
    .slice(0, job.gpus);
}

/** The node once the job is on it. */
export function occupy(node: SnapshotNode, job: JobRequest, gpus: readonly number[]): SnapshotNode {
  const share = shareOf(job);
  const guests = node.guestsGpuMilli;
  return {
    ...node,
    freeGpuMilli: node.freeGpuMilli.map((free, gpu) => (gpus.includes(gpu) ? free - share : free)),
    freeCpuMilli: node.freeCpuMilli - (job.cpuMilli ?? 0),
    freeMemoryMiB: node.freeMemoryMiB - (job.memoryMiB ?? 0),
    ...(guests === undefined || job.gpus === 0 ? {} : { guestsGpuMilli: [...guests, share * job.gpus] }),
  };
}

export function shareOn(node: SnapshotNode, job: JobRequest, gpus: readonly number[]): NodeShare {
  return { nodeId: node.nodeId, gpus, gpuShareMilli: shareOf(job) };
}
