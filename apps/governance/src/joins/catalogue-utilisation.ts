import { anyone, FindModels, FindSuites } from '@beamtime/catalogue';
import { anyGpuType, type SuiteDesign, suiteDesignSchema } from '@beamtime/contracts';
import type { MeasuredUtilisation } from '@beamtime/governance';
import { estimateCost } from '@beamtime/suites';
import { Inject, Injectable } from '@nestjs/common';

/** Suites looked at, the newest first: older runs say little about today's clusters. */
const suitesAtMost = 50;

/** Joins governance to the catalogue: what finished runs on a GPU type made of its peak. */
@Injectable()
export class CatalogueUtilisation implements MeasuredUtilisation {
  constructor(
    @Inject(FindSuites) private readonly findSuites: FindSuites,
    @Inject(FindModels) private readonly findModels: FindModels,
  ) {}

  /** FLOPs of the finished models over what their GPUs could have done in the time; null while none has finished. */
  async on(gpuType: string): Promise<number | null> {
    // GPUs that nobody names are of many kinds: what one reached says nothing about another.
    if (gpuType === anyGpuType) return null;
    let done = 0;
    let possible = 0;
    const { items } = await this.findSuites.list({ limit: suitesAtMost });
    for (const { suiteId } of items) {
      const suite = await this.findSuites.show(anyone, suiteId);
      if (!suite.ok) continue;
      const design = suiteDesignSchema.parse(suite.value.design);
      if (design.resources.gpuType !== gpuType) continue;
      const spent = await this.spentBy(suiteId, design);
      done += spent.flops;
      possible += spent.possibleFlops;
    }
    return possible === 0 ? null : Math.min(1, done / possible);
  }

  private async spentBy(
    suiteId: string,
    design: SuiteDesign,
  ): Promise<{ flops: number; possibleFlops: number }> {
    const cost = estimateCost(design);
    const models = await this.findModels.list(anyone, { limit: 500, suiteId, state: 'ready', factor: [] });
    const total = { flops: 0, possibleFlops: 0 };
    if (!cost.ok || !models.ok) return total;
    const { gpuPeakFlops, gpus, overheadSecondsPerModel } = design.resources;
    for (const { name, gpuSeconds } of models.value.items) {
      const cell = cost.value.cells.find((one) => one.name === name);
      const training = (gpuSeconds ?? 0) - overheadSecondsPerModel * gpus;
      if (cell === undefined || training <= 0) continue;
      total.flops += cell.flops;
      total.possibleFlops += training * gpuPeakFlops;
    }
    return total;
  }
}
