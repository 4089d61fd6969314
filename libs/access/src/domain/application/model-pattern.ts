/** What an allocation covers: `*` every model, `sui_…` the models of a suite, `mdl_…` one model. */
export type ModelPattern = string;

export interface CoveredModel {
  readonly modelId: string;
  readonly suiteId: string | null;
}

export function covers(patterns: readonly ModelPattern[], model: CoveredModel): boolean {
  return patterns.some(
    (pattern) => pattern === '*' || pattern === model.modelId || pattern === model.suiteId,
  );
}

/** Whether every model of `part` is covered by `whole`, as far as the patterns tell. */
export function withinPatterns(part: readonly ModelPattern[], whole: readonly ModelPattern[]): boolean {
  return whole.includes('*') || part.every((pattern) => whole.includes(pattern));
}
