import { type SuiteDesign, suiteLimits } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import {
  byteVocabSize,
  type Cell,
  type CellLevels,
  type FactorName,
  factorNames,
  levelName,
  trainedSteps,
} from './cell.js';

export type InvalidSuite = Problem<'governance.invalid-suite'>;

/** With its namespace a model's name must fit what the Hugging Face hub takes as an id: 96 characters. */
export const modelNamespace = 'beamtime';
const modelNameMaxChars = 96 - modelNamespace.length - 1;

/** A design that cannot be trained as it is described, with the field to mend. */
export function invalidSuite(field: string, why: string): InvalidSuite {
  return problem('governance.invalid-suite', `${field}: ${why}`, { field });
}

/** How many cells the grid has before anything is left out. May be astronomically large: it is only counted. */
export function countGrid(design: SuiteDesign): number {
  return factorNames.reduce((product, factor) => product * design.factors[factor].length, 1);
}

/** The cells of a suite in a stable order, or the first fault of its design with the field's name. */
export function expandSuite(design: SuiteDesign): Result<Cell[], InvalidSuite> {
  const grid = countGrid(design);
  if (grid > suiteLimits.cells) {
    return err(
      invalidSuite(
        'factors',
        `the grid has ${grid.toLocaleString('en')} cells; at most ${suiteLimits.cells.toLocaleString('en')} can be trained as one suite`,
      ),
    );
  }
  const fault =
    faultOfLevels(design) ?? faultOfShapes(design) ?? faultOfTraining(design) ?? faultOfExclusions(design);
  if (fault !== undefined) return err(fault);
  const cells = gridOf(design).filter((cell) => !isExcluded(design, cell.levels));
  if (cells.length === 0) return err(invalidSuite('exclude', 'every cell of the grid is left out'));
  const nameFault = faultOfNames(cells);
  return nameFault === undefined ? ok(cells) : err(nameFault);
}

function faultOfLevels(design: SuiteDesign): InvalidSuite | undefined {
  for (const factor of factorNames) {
    const seen = new Set<string | number>();
    for (const [index, level] of design.factors[factor].entries()) {
      const name = levelName(level);
      if (seen.has(name)) {
        return invalidSuite(`factors.${factor}[${index}]`, `the level ${name} is listed twice`);
      }
      seen.add(name);
    }
  }
  return undefined;
}

function faultOfShapes(design: SuiteDesign): InvalidSuite | undefined {
  const { family, size, tokenizer } = design.factors;
  const attends = family.some((one) => one !== 'mamba');
  for (const [index, { hiddenSize, heads, intermediateSize }] of size.entries()) {
    const field = `factors.size[${index}].heads`;
    if (family.includes('mamba') && (intermediateSize ?? 0) % hiddenSize !== 0) {
      return invalidSuite(
        `factors.size[${index}].intermediateSize`,
        `mamba needs a multiple of hiddenSize ${hiddenSize}, not ${intermediateSize}`,
      );
    }
    if (attends && hiddenSize % heads !== 0) {
      return invalidSuite(field, `${heads} heads do not divide hiddenSize ${hiddenSize}`);
    }
    if (family.includes('llama') && (hiddenSize / heads) % 2 !== 0) {
      return invalidSuite(field, `llama rotates pairs: ${hiddenSize} / ${heads} heads is odd`);
    }
  }
  for (const [index, { kind, vocabSize }] of tokenizer.entries()) {
    const field = `factors.tokenizer[${index}].vocabSize`;
    if (kind === 'byte' && vocabSize !== byteVocabSize) {
      return invalidSuite(field, `a byte tokenizer has ${byteVocabSize} tokens; leave vocabSize out`);
    }
    if (kind !== 'byte' && vocabSize <= byteVocabSize) {
      return invalidSuite(field, `${kind} needs more than the ${byteVocabSize} tokens that bytes alone take`);
    }
  }
  return undefined;
}

function faultOfTraining(design: SuiteDesign): InvalidSuite | undefined {
  const { steps, language } = design.factors;
  const { warmupSteps, tokenBudget } = design.training;
  const most = Math.max(...steps);
  for (const [index, level] of language.entries()) {
    const field = `factors.language[${index}].bytePremium`;
    if (tokenBudget === 'byte-premium' && level.bytePremium === undefined) {
      return invalidSuite(
        field,
        `training.tokenBudget is byte-premium, so ${level.name} needs one (1 for the reference)`,
      );
    }
    if (trainedSteps(design.training, level, most) > suiteLimits.steps) {
      return invalidSuite(
        field,
        `${most} steps times ${level.bytePremium} are more than ${suiteLimits.steps.toLocaleString('en')}`,
      );
    }
  }
  const fewest = Math.min(
    ...language.map((level) => trainedSteps(design.training, level, Math.min(...steps))),
  );
  if (warmupSteps >= fewest) {
    return invalidSuite(
      'training.warmupSteps',
      `${warmupSteps} is not less than the ${fewest} steps of a cell`,
    );
  }
  if (Array.isArray(design.checkpoints) && !design.checkpoints.some((step) => step <= fewest)) {
    return invalidSuite('checkpoints', `none lies within the ${fewest} steps of a cell`);
  }
  return undefined;
}

function faultOfExclusions(design: SuiteDesign): InvalidSuite | undefined {
  for (const [index, entry] of design.exclude.entries()) {
    const named = Object.entries(entry);
    if (named.length === 0) return invalidSuite(`exclude[${index}]`, 'names no factor');
    for (const [factor, level] of named) {
      if (!isFactorName(factor)) {
        return invalidSuite(
          `exclude[${index}].${factor}`,
          `no such factor; there are ${factorNames.join(', ')}`,
        );
      }
      const levels = design.factors[factor].map(levelName);
      if (!levels.includes(level)) {
        return invalidSuite(
          `exclude[${index}].${factor}`,
          `no level ${level}; there are ${levels.join(', ')}`,
        );
      }
    }
  }
  return undefined;
}

function isFactorName(name: string): name is FactorName {
  return (factorNames as readonly string[]).includes(name);
}

function isExcluded(design: SuiteDesign, levels: CellLevels): boolean {
  return design.exclude.some((entry) =>
    Object.entries(entry).every(([factor, level]) => levels[factor as FactorName] === level),
  );
}

function gridOf(design: SuiteDesign): Cell[] {
  const { factors } = design;
  const cells: Cell[] = [];
  for (const family of factors.family)
    for (const size of factors.size)
      for (const language of factors.language)
        for (const tokenizer of factors.tokenizer)
          for (const initialisationSeed of factors.initialisationSeed)
            for (const dataOrderSeed of factors.dataOrderSeed)
              for (const steps of factors.steps) {
                const levels: CellLevels = {
                  family,
                  size: size.name,
                  language: language.name,
                  tokenizer: tokenizer.name,
                  initialisationSeed,
                  dataOrderSeed,
                  steps,
                };
                cells.push({
                  name: cellName(design, levels),
                  levels,
                  family,
                  size,
                  language,
                  tokenizer,
                  initialisationSeed,
                  dataOrderSeed,
                  steps: trainedSteps(design.training, language, steps),
                });
              }
  return cells;
}

/**
 * `udhr-neox-160k-deu-s1`: suite, family, size, language and initialisation seed are always said, the other
 * factors only where the design varies them.
 */
function cellName(design: SuiteDesign, levels: CellLevels): string {
  const varies = (factor: FactorName): boolean => design.factors[factor].length > 1;
  return [
    design.name,
    String(levels.family).replace('gpt-', ''),
    levels.size,
    levels.language,
    ...(varies('tokenizer') ? [levels.tokenizer] : []),
    `s${levels.initialisationSeed}`,
    ...(varies('dataOrderSeed') ? [`d${levels.dataOrderSeed}`] : []),
    ...(varies('steps') ? [`t${levels.steps}`] : []),
  ].join('-');
}

function faultOfNames(cells: readonly Cell[]): InvalidSuite | undefined {
  const seen = new Set<string>();
  for (const { name } of cells) {
    if (name.length > modelNameMaxChars) {
      return invalidSuite('name', `the model name ${name} is longer than ${modelNameMaxChars} characters`);
    }
    if (/--|\.\.|[.-]$|\.git$/.test(name)) {
      return invalidSuite('name', `the model name ${name} has -- or .. in it, or ends in . or - or .git`);
    }
    const lower = name.toLowerCase();
    if (seen.has(lower))
      return invalidSuite('factors', `two cells would both be named ${name}; rename a level`);
    seen.add(lower);
  }
  return undefined;
}
