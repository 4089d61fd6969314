import type { JobRequest, SnapshotNode } from '../snapshot.js';
import type { Fragmentation } from './fragmentation.js';
import { shareOf, tightestGpus, wholeGpuMilli } from './node-fit.js';

/**
 * How a node is chosen among those that fit. All but `beamtime` are those of the simulator of FGD (ATC'23): a whole
 * number from 0 to 100, more is better, and the first node among equals. `beamtime` is ours (ADR 25): it goes where
 * fragmentation and stranded GPUs together grow least.
 */
export type PackingScore =
  | 'random'
  | 'dot-product'
  | 'clustering'
  | 'packing'
  | 'best-fit'
  | 'fgd'
  | 'beamtime';

/** The largest node of the published cluster: scores are measured against it. */
const cpuMilliMax = 128_000;
const gpuMilliMax = 8 * wholeGpuMilli;
const scoreMax = 100;
/** Nodes closer than a hundredth of a GPU are equals to `beamtime`: the first of them fills up before the next. */
const grainMilli = 10;

/** How well a node that fits suits a job; more is better. */
export function scoreOf(
  score: Exclude<PackingScore, 'random'>,
  node: SnapshotNode,
  job: JobRequest,
  fragmentation: Fragmentation,
): number {
  switch (score) {
    case 'dot-product':
      return dotProduct(node, job);
    case 'clustering':
      return clustering(node, job);
    case 'packing':
      return packing(node, job);
    case 'best-fit':
      return bestFit(node, job);
    case 'fgd':
    case 'beamtime':
      return steepest(score, node, job, fragmentation).score;
  }
}

/** The GPUs of that node which the job gets. */
export function gpusFor(
  score: Exclude<PackingScore, 'random'>,
  node: SnapshotNode,
  job: JobRequest,
  fragmentation: Fragmentation,
): number[] {
  if ((score === 'fgd' || score === 'beamtime') && job.gpus === 1 && shareOf(job) < wholeGpuMilli)
    return [steepest(score, node, job, fragmentation).gpu];
  return tightestGpus(node, job);
}

/** Tetris (SIGCOMM'14), the other way round: nodes with much of what the job wants are kept for later. */
function dotProduct(node: SnapshotNode, job: JobRequest): number {
  const cpu = (node.freeCpuMilli / cpuMilliMax) * ((job.cpuMilli ?? 0) / cpuMilliMax);
  const gpu = (freeGpuMilli(node) / gpuMilliMax) * (askedGpuMilli(job) / gpuMilliMax);
  return Math.trunc((1 - (cpu + gpu) / 2) * scoreMax);
}

/** Jobs of a kind beside each other: sharers, one GPU, two GPUs, … */
function clustering(node: SnapshotNode, job: JobRequest): number {
  if (job.gpus === 0) return 0;
  const kinds = new Set((node.guestsGpuMilli ?? []).map(kindOf));
  const base = kinds.has(kindOf(askedGpuMilli(job)))
    ? kinds.size === 1
      ? 75
      : 50
    : kinds.size === 0
      ? 25
      : 0;
  return Math.trunc((25 * (gpuMilliMax - freeGpuMilli(node))) / gpuMilliMax) + base;
}

function kindOf(askedMilli: number): number {
  return askedMilli < wholeGpuMilli ? 0 : askedMilli;
}

/** GPUs in use before idle ones, idle ones of a used node before those of an idle node. */
function packing(node: SnapshotNode, job: JobRequest): number {
  if (job.gpus === 0) return 0;
  const idle = node.freeGpuMilli.filter((free) => free === wholeGpuMilli).length;
  if (idle === node.freeGpuMilli.length) return Math.max(33 - idle, idle);
  const free = tightestGpus(node, job).map((gpu) => node.freeGpuMilli[gpu] ?? 0);
  const idleTaken = free.filter((milli) => milli === wholeGpuMilli).length;
  if (idleTaken > 0) return Math.max(50 - idleTaken, 33);
  const freePercent = free.reduce((sum, milli) => sum + Math.trunc((milli * 100) / wholeGpuMilli), 0);
  return Math.max(scoreMax - Math.trunc(freePercent / 10), 50);
}

function bestFit(node: SnapshotNode, job: JobRequest): number {
  const cpu = ((node.freeCpuMilli - (job.cpuMilli ?? 0)) / cpuMilliMax) * 0.5;
  const gpu = ((freeGpuMilli(node) - askedGpuMilli(job)) / gpuMilliMax) * 0.5;
  return Math.trunc((1 - (cpu + gpu)) * scoreMax);
}

/**
 * By how much less of the node is lost with the job than without, at best; for a shared job also on which GPU. FGD
 * squeezes it into 0 … 100 and cuts it to a whole number.
 */
function steepest(
  score: 'fgd' | 'beamtime',
  node: SnapshotNode,
  job: JobRequest,
  fragmentation: Fragmentation,
): { score: number; gpu: number } {
  const free = [...node.freeGpuMilli];
  const lost = (freeCpuMilli: number) => {
    const expected = fragmentation.expectedMilli(freeCpuMilli, free, node.gpuType);
    return score === 'fgd' ? expected : expected + fragmentation.strandedMilli(freeCpuMilli, free);
  };
  const before = lost(node.freeCpuMilli);
  const value = () => {
    const less = before - lost(node.freeCpuMilli - (job.cpuMilli ?? 0));
    return score === 'fgd'
      ? Math.trunc(sigmoid(less / wholeGpuMilli) * scoreMax)
      : Math.round(less / grainMilli);
  };
  const share = shareOf(job);
  if (job.gpus !== 1 || share === wholeGpuMilli) {
    let wanted = job.gpus;
    for (let gpu = 0; gpu < free.length && wanted > 0; gpu++) {
      if (free[gpu] !== wholeGpuMilli) continue;
      free[gpu] = 0;
      wanted--;
    }
    return { score: value(), gpu: -1 };
  }
  let best = { score: Number.NEGATIVE_INFINITY, gpu: -1 };
  for (let gpu = 0; gpu < free.length; gpu++) {
    const had = free[gpu] ?? 0;
    // Another GPU with as much left was tried already.
    if (had < share || node.freeGpuMilli.indexOf(had) < gpu) continue;
    free[gpu] = had - share;
    const reached = value();
    free[gpu] = had;
    if (reached > best.score) best = { score: reached, gpu };
  }
  return best;
}

function freeGpuMilli(node: SnapshotNode): number {
  return node.freeGpuMilli.reduce((sum, free) => sum + free, 0);
}

function askedGpuMilli(job: JobRequest): number {
  return job.gpus * shareOf(job);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
