import { describe, expect, it } from 'vitest';
import { factsKey, factsOfState, type TaskState, taskStateOf } from './task-state.js';

const states: TaskState[] = [
  'UNKNOWN',
  'QUEUED',
  'INITIALIZING',
  'RUNNING',
  'PAUSED',
  'COMPLETE',
  'EXECUTOR_ERROR',
  'SYSTEM_ERROR',
  'CANCELED',
  'PREEMPTED',
  'CANCELING',
];
const none = { attempt: null, cancelRequested: false, commandFailed: false } as const;

describe('the state of a task', () => {
  it('follows from its job and last attempt', () => {
    expect(taskStateOf({ ...none, job: 'queued' })).toBe('QUEUED');
    // Preempted or lost, it goes on by itself.
    expect(taskStateOf({ ...none, job: 'queued', attempt: 'preempted' })).toBe('QUEUED');
    expect(taskStateOf({ ...none, job: 'running', attempt: 'offered' })).toBe('INITIALIZING');
    expect(taskStateOf({ ...none, job: 'running', attempt: 'staging' })).toBe('INITIALIZING');
    expect(taskStateOf({ ...none, job: 'running', attempt: 'finalizing' })).toBe('RUNNING');
    expect(taskStateOf({ ...none, job: 'running', attempt: 'running', cancelRequested: true })).toBe(
      'CANCELING',
    );
    expect(taskStateOf({ ...none, job: 'cancelled', attempt: 'cancelled', cancelRequested: true })).toBe(
      'CANCELED',
    );
    // Done before the wish to cancel was heard.
    expect(taskStateOf({ ...none, job: 'succeeded', attempt: 'succeeded', cancelRequested: true })).toBe(
      'COMPLETE',
    );
    expect(taskStateOf({ ...none, job: 'failed', attempt: 'failed', commandFailed: true })).toBe(
      'EXECUTOR_ERROR',
    );
    expect(taskStateOf({ ...none, job: 'failed', attempt: 'lost' })).toBe('SYSTEM_ERROR');
    expect(taskStateOf({ ...none, job: 'failed', attempt: 'preempted' })).toBe('PREEMPTED');
  });

  it('is one of each combination of facts, so that a filter finds every task once', () => {
    const keys = states.flatMap(factsOfState);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toHaveLength(5 * 12 * 2 * 2);
    expect(factsOfState('PAUSED')).toEqual([]);
    expect(factsOfState('QUEUED')).toContain(factsKey({ ...none, job: 'queued' }));
  });
});
