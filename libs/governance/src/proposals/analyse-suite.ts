import type { SuiteAnalysis, SuiteDesign } from '@beamtime/contracts';
import { anyGpuType } from '@beamtime/contracts';
import { ok, type Result } from '@beamtime/kernel';
import {
  type Cell,
  confounding,
  describeCells,
  estimateCost,
  expandSuite,
  questions,
} from '@beamtime/suites';
import { Inject, Injectable } from '@nestjs/common';
import {
  LANDSCAPE,
  type Landscape,
  type LandscapeCount,
  MEASURED_UTILISATION,
  type MeasuredUtilisation,
} from '../ports.js';
import type { Refusal } from '../postgres/rounds.js';

/** What a suite costs, what it could answer, what it confounds, and which holes of the landscape it fills. */
@Injectable()
export class AnalyseSuite {
  constructor(
    @Inject(LANDSCAPE) private readonly landscape: Landscape,
    @Inject(MEASURED_UTILISATION) private readonly measured: MeasuredUtilisation,
  ) {}

  async execute(design: SuiteDesign): Promise<Result<SuiteAnalysis, Refusal>> {
    const expanded = expandSuite(design);
    if (!expanded.ok) return expanded;
    const gpuType = design.resources.gpuType ?? anyGpuType;
    const measured = await this.measured.on(gpuType);
    const utilisation = measured ?? design.resources.utilisation;
    const cost = estimateCost({ ...design, resources: { ...design.resources, utilisation } });
    if (!cost.ok) return cost;
    const cells = expanded.value;
    const parameters = new Map(cost.value.cells.map((cell) => [cell.name, cell.parameters]));
    return ok({
      models: cost.value.models,
      gpuType,
      gpuSeconds: Math.ceil(cost.value.gpuSeconds),
      gpuHours: cost.value.gpuSeconds / 3_600,
      trainingFlops: cost.value.flops,
      checkpoints: cost.value.checkpoints,
      checkpointBytes: cost.value.storageBytes,
      utilisation: { value: utilisation, source: measured === null ? 'assumed' : 'measured' },
      sizes: sizesOf(cells, parameters),
      ...answersOf(cells),
      landscape: landscapeOf(cells, parameters, await this.landscape.models()),
    });
  }
}

/** The largest model of each size: families and tokenizers vary it a little. */
function sizesOf(cells: readonly Cell[], parameters: ReadonlyMap<string, number>): SuiteAnalysis['sizes'] {
  const largest = new Map<string, number>();
  for (const cell of cells) {
    const name = cell.size.name;
    largest.set(name, Math.max(largest.get(name) ?? 0, parameters.get(cell.name) ?? 0));
  }
  return [...largest].map(([name, count]) => ({ name, parameters: count }));
}

function answersOf(cells: readonly Cell[]): Pick<SuiteAnalysis, 'questions' | 'confounded'> {
  const described = describeCells(cells);
  const report = confounding(described);
  const confounded = report.factors
    .filter((finding) => finding.confoundedWith.length > 0)
    .map((finding) => ({
      factors: [finding.factor, ...finding.confoundedWith],
      why: `whenever ${finding.factor} differs, so does ${finding.confoundedWith.join(' and ')}`,
    }));
  const seen = new Set(confounded.map(({ factors }) => factors[0]));
  for (const factor of report.unanswerable) {
    if (seen.has(factor)) continue;
    confounded.push({ factors: [factor], why: `no two models differ in ${factor} alone` });
  }
  return {
    questions: questions(described).map(({ factor, pairs, groups }) => ({
      factor,
      pairs,
      example: (groups[0]?.models ?? [])
        .slice(0, 2)
        .map(({ name }) => name)
        .join(' / '),
    })),
    confounded,
  };
}

/** Name of the power of ten in which a parameter count lies. */
export function decadeOf(parameters: number): string {
  const exponent = Math.max(0, Math.floor(Math.log10(Math.max(1, parameters)) + 1e-12));
  return `${short(10 ** exponent)}–${short(10 ** (exponent + 1))}`;
}

function short(count: number): string {
  const units: readonly (readonly [number, string])[] = [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  const unit = units.find(([size]) => count >= size);
  return unit === undefined ? `${count}` : `${count / unit[0]}${unit[1]}`;
}

function landscapeOf(
  cells: readonly Cell[],
  parameters: ReadonlyMap<string, number>,
  existing: readonly LandscapeCount[],
): SuiteAnalysis['landscape'] {
  const keyOf = (language: string, family: string, decade: string): string =>
    JSON.stringify([language, family, decade]);
  const there = new Map<string, number>();
  for (const { language, family, parameters: size, models } of existing) {
    const key = keyOf(language, family, decadeOf(size));
    there.set(key, (there.get(key) ?? 0) + models);
  }
  const added = new Map<string, SuiteAnalysis['landscape'][number]>();
  for (const cell of cells) {
    const decade = decadeOf(parameters.get(cell.name) ?? 0);
    const { language } = cell.language;
    const key = keyOf(language, cell.family, decade);
    const before = there.get(key) ?? 0;
    const slot = added.get(key) ?? {
      language,
      family: cell.family,
      parameters: decade,
      existing: before,
      added: 0,
      fillsHole: before === 0,
    };
    added.set(key, { ...slot, added: slot.added + 1 });
  }
  return [...added.values()];
}
