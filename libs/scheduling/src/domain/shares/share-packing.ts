import { wholeGpuMilli } from '../gpu-share.js';
import { Fragmentation } from '../packing/fragmentation.js';
import { type Ask, commonAsks } from '../packing/workload.js';
import type { Situation } from './situation.js';
import type { ClusterNow } from './state.js';

/** A shared GPU that a job fits on. */
export interface SharedSpot {
  readonly cluster: ClusterNow;
  readonly slot: number;
  readonly freeMilli: number;
}

/**
 * On which of the GPUs that are shared already a job goes: where the least is lost to the jobs that run and wait (FGD,
 * ATC'23, of one GPU at a time; `domain/packing`), among equals where the least is left over.
 */
export class SharePacking {
  private fragmentation: Fragmentation | undefined;

  constructor(private readonly situation: Situation) {}

  /** The first of the best; undefined when there are none. */
  best(spots: readonly SharedSpot[], shareMilli: number): SharedSpot | undefined {
    let best: SharedSpot | undefined;
    let bestLoss = Number.POSITIVE_INFINITY;
    for (const spot of spots) {
      // What is exactly filled is lost to nobody; one spot needs no comparison.
      const loss = spots.length === 1 ? 0 : this.lossOf(spot.freeMilli, shareMilli);
      if (loss > bestLoss) continue;
      if (loss === bestLoss && best !== undefined && spot.freeMilli >= best.freeMilli) continue;
      best = spot;
      bestLoss = loss;
    }
    return best;
  }

  /** By how much more of a GPU with so much left is lost once the share is taken, rounded to a thousandth. */
  private lossOf(freeMilli: number, shareMilli: number): number {
    this.fragmentation ??= new Fragmentation(commonAsks(asksOf(this.situation)));
    const lost = (milli: number): number => this.fragmentation?.expectedMilli(0, [milli], null) ?? 0;
    return Math.round(lost(freeMilli - shareMilli) - lost(freeMilli));
  }
}

/** What the jobs that run and wait ask for of GPUs. */
function asksOf(situation: Situation): Omit<Ask, 'share'>[] {
  const asks: Omit<Ask, 'share'>[] = [];
  const add = (gpus: number, gpuShareMilli: number): void => {
    asks.push({ cpuMilli: 0, gpus, gpuShareMilli, gpuTypes: [] });
  };
  for (const { running } of situation.clusters)
    for (const { gpus, shareMilli } of running.jobs) add(gpus, shareMilli);
  const waiting = new Set(
    situation.owners.flatMap(({ queues }) => queues.flatMap(({ shapes }) => [...shapes.keys()])),
  );
  for (const { request, waiting: byLevel } of waiting) {
    const jobs = byLevel.reduce((sum, count) => sum + count, 0);
    for (let n = 0; n < jobs; n++) add(request.gpus, request.gpuShareMilli ?? wholeGpuMilli);
  }
  return asks;
}
