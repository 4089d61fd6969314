import type { Cell, Described, Factors } from '@beamtime/suites';

/** The factors of a model by name; null is unknown. The wire gives them their types. */
export type KnownFactors = Readonly<Record<string, string | number | boolean | null>>;

/** What makes two models comparable, whatever else is written about them. */
export interface ComparableModel {
  readonly name: string;
  readonly suiteId: string | null;
  /** The levels of its cell, for a model of a suite. */
  readonly levels: Factors | null;
  readonly factors: KnownFactors;
  /** Whether the factors are those that a run used, or that an importer vouches for. */
  readonly resolved: boolean;
}

/** Options of training that are factors of their own when models of different suites are compared. */
const trainingFactors = [
  'contextTokens',
  'batchSequences',
  'learningRate',
  'minimumLearningRateRatio',
  'schedule',
  'warmupSteps',
  'weightDecay',
  'beta1',
  'beta2',
  'epsilon',
  'gradientClip',
  'dtype',
  'initialisationSeed',
  'dataOrderSeed',
  'steps',
] as const;

/**
 * The factors by which models are told apart. Numbers that follow from another factor (parameters from size and
 * vocabulary, tied embeddings from the family, the hash of a tokenizer from its text) are left out, since they would
 * make every difference look like several; a language and its corpus are one factor, as in a suite. Steps that were scaled
by the byte premium of the language follow from it: among such models those before scaling are compared.
 */
export function comparableFactors(
  factors: KnownFactors,
  stepsFactor: 'steps' | 'referenceSteps' = 'steps',
): Factors {
  const of = (name: string): string | number | boolean | null => factors[name] ?? null;
  const joined = (...names: readonly string[]): string | null => {
    const values = names.map(of);
    return values.includes(null) ? null : values.join('-');
  };
  const tokenizer =
    of('tokenizerKind') === 'byte'
      ? 'byte'
      : (joined('tokenizerKind', 'vocabSize', 'tokenizerScope') ?? of('tokenizerSha256'));
  return {
    family: of('family'),
    size: sizeOf(factors),
    language: joined('language', 'script', 'corpus'),
    tokenizer,
    ...Object.fromEntries(trainingFactors.map((name) => [name, of(name)])),
    steps: of(stepsFactor),
  };
}

/** Depth, width and heads; the MLP only where it is not what the family has anyway. */
function sizeOf(factors: KnownFactors): string | null {
  const { layers, hiddenSize, heads, intermediateSize, family } = factors;
  if (typeof layers !== 'number' || typeof hiddenSize !== 'number') return null;
  const usual = (family === 'mamba' ? 2 : 4) * hiddenSize;
  const inner =
    typeof intermediateSize === 'number' && intermediateSize !== usual ? `-mlp${intermediateSize}` : '';
  // A recurrent model has no heads; its size is compared by depth and width alone.
  const divided = typeof heads === 'number' && heads > 0 ? `-${heads}heads` : '';
  return `${layers}x${hiddenSize}${divided}${inner}`;
}

/**
 * Describes models for a comparison. Resolved truth is used when all have it; models of one suite can also be
 * compared as they are planned, since a suite holds equal whatever is not a factor.
 */
export function describeModels(models: readonly ComparableModel[]): Described[] {
  const [first] = models;
  const oneSuite =
    first !== undefined && first.suiteId !== null && models.every((m) => m.suiteId === first.suiteId);
  if (oneSuite && !models.every((model) => model.resolved)) {
    return models.map(({ name, levels }) => ({ name, factors: levels ?? {} }));
  }
  const scaled = models.every((model) => model.factors['tokenBudget'] === 'byte-premium');
  return models.map(({ name, factors, levels }) => {
    const compared = comparableFactors(factors, scaled ? 'referenceSteps' : 'steps');
    // Within one suite the design says the size, also for a family that has no heads.
    return { name, factors: oneSuite ? { ...compared, size: levels?.['size'] ?? null } : compared };
  });
}

/** What a design says of a cell before anything has run. */
export function plannedFactors(
  cell: Cell,
  training: {
    readonly contextTokens: number;
    readonly batchSize: number;
    readonly learningRate: number;
    readonly schedule: string;
    readonly warmupSteps: number;
    readonly weightDecay: number;
    readonly dtype: string;
    readonly tokenBudget: string;
  },
  count: { readonly parameters: number; readonly parametersWithoutEmbeddings: number },
): KnownFactors {
  return {
    family: cell.family,
    size: cell.size.name,
    layers: cell.size.layers,
    hiddenSize: cell.size.hiddenSize,
    heads: cell.family === 'mamba' ? 0 : cell.size.heads,
    intermediateSize: cell.size.intermediateSize ?? (cell.family === 'mamba' ? 2 : 4) * cell.size.hiddenSize,
    contextTokens: training.contextTokens,
    vocabSize: cell.tokenizer.vocabSize,
    parameters: count.parameters,
    parametersWithoutEmbeddings: count.parametersWithoutEmbeddings,
    objective: cell.family === 'bert' ? 'masked' : 'causal',
    language: cell.language.language,
    script: cell.language.script,
    corpus: cell.language.corpusId,
    tokenizer: cell.tokenizer.name,
    tokenizerKind: cell.tokenizer.kind,
    tokenizerScope: cell.tokenizer.scope,
    tokens: cell.steps * training.batchSize * training.contextTokens,
    steps: cell.steps,
    tokenBudget: training.tokenBudget,
    bytePremium: cell.language.bytePremium ?? null,
    referenceSteps: Number(cell.levels.steps),
    batchSequences: training.batchSize,
    learningRate: training.learningRate,
    schedule: training.schedule,
    warmupSteps: training.warmupSteps,
    weightDecay: training.weightDecay,
    dtype: training.dtype,
    initialisationSeed: cell.initialisationSeed,
    dataOrderSeed: cell.dataOrderSeed,
  };
}
