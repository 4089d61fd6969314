import type { TransitionTable } from '@beamtime/kernel';

export type CorpusState = 'registered' | 'ready' | 'rejected';

/** A corpus is announced, then its bytes arrive: they are text, or it is rejected for good. */
export const corpusLifecycle = {
  registered: ['ready', 'rejected'],
  ready: [],
  rejected: [],
} as const satisfies TransitionTable<CorpusState>;

export type ModelLifecycleState =
  | 'planned'
  | 'training'
  | 'ready'
  | 'failed'
  | 'imported'
  | 'listed'
  | 'withdrawn';

/**
 * A model is planned with its suite, or described to be imported. A failed one may be trained again. A closed one is listed, until
 * it is not offered any more. */
export const modelLifecycle = {
  planned: ['training', 'imported', 'failed'],
  training: ['ready', 'failed'],
  ready: [],
  failed: ['training', 'ready'],
  imported: [],
  listed: ['withdrawn'],
  withdrawn: [],
} as const satisfies TransitionTable<ModelLifecycleState>;

export type SuiteState = 'planned' | 'training' | 'ready' | 'incomplete';

/** The state of a suite follows from its models' and is not stored. */
export function suiteState(models: Readonly<Partial<Record<ModelLifecycleState, number>>>): SuiteState {
  const count = (state: ModelLifecycleState): number => models[state] ?? 0;
  const total = Object.values(models).reduce((sum, one) => sum + one, 0);
  if (total > 0 && count('ready') === total) return 'ready';
  if (count('planned') === total) return 'planned';
  if (count('planned') + count('training') > 0) return 'training';
  return 'incomplete';
}
