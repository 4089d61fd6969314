import { anyone, FindModels } from '@beamtime/catalogue';
import type { Landscape, LandscapeCount } from '@beamtime/governance';
import { Inject, Injectable } from '@nestjs/common';

const pageSize = 500;

/** Joins governance to the catalogue: the public models that there are, by language, architecture and size. */
@Injectable()
export class CatalogueLandscape implements Landscape {
  constructor(@Inject(FindModels) private readonly findModels: FindModels) {}

  async models(): Promise<LandscapeCount[]> {
    const counts = new Map<string, LandscapeCount>();
    let after: string | undefined;
    do {
      const page = await this.findModels.list(anyone, { limit: pageSize, after, factor: [] });
      if (!page.ok) return [];
      for (const { factors } of page.value.items) {
        const { language, family, parameters } = factors;
        if (language === null || family === null || parameters === null) continue;
        const key = JSON.stringify([language, family, parameters]);
        const models = (counts.get(key)?.models ?? 0) + 1;
        counts.set(key, { language, family, parameters, models });
      }
      after = page.value.next ?? undefined;
    } while (after !== undefined);
    return [...counts.values()];
  }
}
