import type { SuiteDesign, SuitePlan } from '@beamtime/contracts';
import { ok, present, type Result } from '@beamtime/kernel';
import { confounding } from './confounding.js';
import { questions } from './contrasts.js';
import { describeCells } from './describe-cells.js';
import { estimateCost } from './estimate-cost.js';
import { expandSuite, type InvalidSuite } from './expand-suite.js';

/** What a design would train, cost and be able to answer. Pure; the CLI plans with the same functions offline. */
export function planSuite(design: SuiteDesign): Result<SuitePlan, InvalidSuite> {
  const cells = expandSuite(design);
  if (!cells.ok) return cells;
  const cost = estimateCost(design);
  if (!cost.ok) return cost;
  const described = describeCells(cells.value);
  const report = confounding(described);
  return ok({
    ...cost.value,
    name: design.name,
    ...(design.training.tokenBudget === 'equal' ? {} : { bytePremiums: bytePremiums(design) }),
    gpuHours: cost.value.gpuSeconds / 3_600,
    cells: cost.value.cells.map((cell, index) => ({
      ...cell,
      levels: { ...present(cells.value[index], 'cell').levels },
    })),
    questions: questions(described).map(({ factor, pairs, groups }) => ({
      factor,
      pairs,
      groups: groups.length,
    })),
    confounding: {
      ...report,
      held: [...report.held],
      factors: report.factors.map((one) => ({ ...one, confoundedWith: [...one.confoundedWith] })),
      associations: report.associations.map((one) => ({
        ...one,
        factors: [...one.factors] as [string, string],
      })),
      unanswerable: [...report.unanswerable],
    },
  });
}

function bytePremiums(design: SuiteDesign): Record<string, number> {
  return Object.fromEntries(design.factors.language.map(({ name, bytePremium }) => [name, bytePremium ?? 1]));
}
