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
  readonly steps: number;
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
