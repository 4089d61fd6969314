import { type AttemptState, attemptLifecycle } from './attempt-lifecycle.js';
import { type JobState, jobLifecycle } from './job-lifecycle.js';

/** The states of a task that GA4GH TES 1.1 knows. */
export type TaskState =
  | 'UNKNOWN'
  | 'QUEUED'
  | 'INITIALIZING'
  | 'RUNNING'
  | 'PAUSED'
  | 'COMPLETE'
  | 'EXECUTOR_ERROR'
  | 'SYSTEM_ERROR'
  | 'CANCELED'
  | 'PREEMPTED'
  | 'CANCELING';

/** What of a job and its last attempt the state of the task follows from. */
export interface TaskFacts {
  readonly job: JobState;
  /** Null before the first attempt. */
  readonly attempt: AttemptState | null;
  readonly cancelRequested: boolean;
  /** A command of the last attempt ended with an exit code that ended the task. */
  readonly commandFailed: boolean;
}

/**
 * The state of a task. A job that was preempted or lost goes on by itself, so it is queued as any other; PREEMPTED is
 * the end of one that was preempted for the last time. Nothing here pauses a task, and none is ever unknown: PAUSED and
 * UNKNOWN are names that a client may ask for and that no task has.
 */
export function taskStateOf(facts: TaskFacts): TaskState {
  switch (facts.job) {
    case 'succeeded':
      return 'COMPLETE';
    case 'cancelled':
      return 'CANCELED';
    case 'failed':
      if (facts.commandFailed) return 'EXECUTOR_ERROR';
      return facts.attempt === 'preempted' ? 'PREEMPTED' : 'SYSTEM_ERROR';
    case 'queued':
      return facts.cancelRequested ? 'CANCELING' : 'QUEUED';
    case 'running':
      if (facts.cancelRequested) return 'CANCELING';
      return facts.attempt === 'running' || facts.attempt === 'finalizing' ? 'RUNNING' : 'INITIALIZING';
  }
}

const jobStates = Object.keys(jobLifecycle) as JobState[];
const attemptStates = [null, ...(Object.keys(attemptLifecycle) as AttemptState[])];

/** The facts as one text; the query that filters by state writes the same. */
export function factsKey(facts: TaskFacts): string {
  const bit = (value: boolean): string => (value ? 'true' : 'false');
  return `${facts.job}/${facts.attempt ?? ''}/${bit(facts.cancelRequested)}/${bit(facts.commandFailed)}`;
}

/** Every combination of facts that means this state, so that a database can filter by what only this file knows. */
export function factsOfState(state: TaskState): string[] {
  const keys: string[] = [];
  for (const job of jobStates)
    for (const attempt of attemptStates)
      for (const cancelRequested of [false, true])
        for (const commandFailed of [false, true]) {
          const facts = { job, attempt, cancelRequested, commandFailed };
          if (taskStateOf(facts) === state) keys.push(factsKey(facts));
        }
  return keys;
}
