import type { SuiteDesign } from '@beamtime/contracts';

/** The factors of a suite, in the order in which they make a model's name. */
export const factorNames = [
  'family',
  'size',
  'language',
  'tokenizer',
  'initialisationSeed',
  'dataOrderSeed',
  'steps',
] as const;
export type FactorName = (typeof factorNames)[number];

export type Family = SuiteDesign['factors']['family'][number];
export type SizeLevel = SuiteDesign['factors']['size'][number];
export type LanguageLevel = SuiteDesign['factors']['language'][number];
export type TokenizerLevel = SuiteDesign['factors']['tokenizer'][number];

/** The level of each factor by its name: what tells one cell from another. */
export type CellLevels = Readonly<Record<FactorName, string | number>>;

/** One model to be trained. */
export interface Cell {
  /** Unique in the suite, and stable: it depends on nothing but the design. */
  readonly name: string;
  readonly levels: CellLevels;
  readonly family: Family;
  readonly size: SizeLevel;
  readonly language: LanguageLevel;
  readonly tokenizer: TokenizerLevel;
  readonly initialisationSeed: number;
  readonly dataOrderSeed: number;
  /** Steps that it is trained for: those of its level, scaled by the byte premium where the design says so. */
  readonly steps: number;
}

/**
 * The steps of a cell. With budgets by byte premium, a language that takes p bytes for what the reference language says
 * in one gets p times the steps, so that all languages see about the same content (Arnold, Chang and Bergen 2024,
 * "A Bit of a Problem", arXiv:2403.00686; Goldfish's budgets, Chang et al. 2024). At least one step, to the nearest whole.
 */
export function trainedSteps(
  training: Pick<SuiteDesign['training'], 'tokenBudget'>,
  language: Pick<LanguageLevel, 'bytePremium'>,
  steps: number,
): number {
  if (training.tokenBudget === 'equal') return steps;
  return Math.max(1, Math.round(steps * (language.bytePremium ?? 1)));
}

/** The name of a level, or the level itself where it is a word or a number. */
export function levelName(level: string | number | { readonly name: string }): string | number {
  return typeof level === 'object' ? level.name : level;
}

/** A byte tokenizer has the 256 bytes, end of text and mask; a trained one begins with as many. */
export const byteVocabSize = 258;

/** Width of the MLP, or of the recurrent block, as the family has it when the design does not say. */
export function intermediateSize(family: Family, size: SizeLevel): number {
  return size.intermediateSize ?? (family === 'mamba' ? 2 : 4) * size.hiddenSize;
}
