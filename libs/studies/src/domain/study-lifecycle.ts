import type { TransitionTable } from '@beamtime/kernel';

export type StudyState = 'running' | 'complete' | 'incomplete';

/** A study runs until its last job has ended. */
export const studyLifecycle = {
  running: ['complete', 'incomplete'],
  complete: [],
  incomplete: [],
} as const satisfies TransitionTable<StudyState>;

/** Where a study stands by the states of its jobs. */
export function studyState(jobs: readonly string[]): StudyState {
  if (jobs.some((state) => state === 'running')) return 'running';
  return jobs.every((state) => state === 'succeeded') ? 'complete' : 'incomplete';
}
