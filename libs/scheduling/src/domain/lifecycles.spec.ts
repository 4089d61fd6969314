import { isTerminal } from '@beamtime/kernel';
import { assertSoundLifecycle } from '@beamtime/kernel/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AfterAttempt, afterAttempt } from './after-attempt.js';
import {
  type AttemptState,
  attemptLifecycle,
  type EndedAttempt,
  heldStates,
  isHeld,
  isLive,
  liveStates,
} from './attempt-lifecycle.js';
import { type ClusterState, clusterLifecycle, clusterStateOf } from './cluster-lifecycle.js';
import { jobLifecycle } from './job-lifecycle.js';

describe('lifecycles', () => {
  it('have no state that cannot be reached or left behind', () => {
    assertSoundLifecycle(attemptLifecycle, 'offered');
    assertSoundLifecycle(jobLifecycle, 'queued');
    assertSoundLifecycle(clusterLifecycle, 'down');
  });

  it('of an attempt: live is exactly what has not ended', () => {
    for (const state of Object.keys(attemptLifecycle) as AttemptState[]) {
      expect(isLive(state)).toBe(!isTerminal(attemptLifecycle, state));
    }
    expect(liveStates.filter((state) => !isHeld(state))).toEqual(['offered']);
  });

  it('of an attempt: whoever holds it can lose it, and can cancel it', () => {
    for (const state of heldStates) {
      expect(attemptLifecycle[state]).toContain('lost');
      expect(attemptLifecycle[state]).toContain('cancelled');
    }
  });
});

describe('the state of a cluster', () => {
  const facts = fc.record({
    state: fc.constantFrom<ClusterState>('active', 'draining', 'drained', 'down'),
    drainRequested: fc.boolean(),
    agentDraining: fc.boolean(),
    silentMs: fc.option(fc.integer({ min: 0, max: 100_000 })),
    liveAttempts: fc.integer({ min: 0, max: 3 }),
  });

  it('only moves along its table, and comes to rest when nothing changes', () => {
    fc.assert(
      fc.property(facts, (known) => {
        let state: ClusterState = known.state;
        for (let turns = 0; turns < 4; turns++) {
          const next = clusterStateOf({ ...known, state }, 20_000);
          if (next !== state) expect(clusterLifecycle[state] as readonly string[]).toContain(next);
          state = next;
        }
        expect(clusterStateOf({ ...known, state }, 20_000)).toBe(state);
      }),
    );
  });

  it('is drained only when nothing runs there', () => {
    fc.assert(
      fc.property(facts, (known) => {
        if (clusterStateOf(known, 20_000) === 'drained') expect(known.liveAttempts).toBe(0);
      }),
    );
  });
});

describe('after an attempt', () => {
  const job = fc.record({
    cancelRequested: fc.boolean(),
    cancelReason: fc.constant(null),
    failures: fc.integer({ min: 0, max: 12 }),
    attemptLimit: fc.integer({ min: 1, max: 10 }),
    secondsUsed: fc.integer({ min: 0, max: 2_000 }),
    maxSeconds: fc.integer({ min: 1, max: 1_000 }),
    retriable: fc.boolean(),
  });
  const outcomes = fc.constantFrom<EndedAttempt>(
    'succeeded',
    'failed',
    'cancelled',
    'preempted',
    'lost',
    'expired',
  );
  const ends = (next: AfterAttempt, state: string): boolean => next.kind === 'end' && next.state === state;

  it('the job succeeded if, and only if, the attempt did', () => {
    fc.assert(
      fc.property(outcomes, job, (outcome, at) => {
        expect(ends(afterAttempt(outcome, null, at), 'succeeded')).toBe(outcome === 'succeeded');
      }),
    );
  });

  it('a job that somebody cancelled is never queued again', () => {
    fc.assert(
      fc.property(outcomes, job, (outcome, at) => {
        expect(afterAttempt(outcome, null, { ...at, cancelRequested: true }).kind).toBe('end');
      }),
    );
  });

  it('a job that lost its agent goes on at once while it has attempts and time left', () => {
    fc.assert(
      fc.property(job, (at) => {
        const fresh = {
          ...at,
          cancelRequested: false,
          retriable: true,
          secondsUsed: 0,
          failures: 1,
          attemptLimit: 5,
        };
        expect(afterAttempt('lost', null, fresh)).toMatchObject({ kind: 'requeue', waitMs: 0 });
      }),
    );
  });

  it('failures end: no job is tried for ever', () => {
    fc.assert(
      fc.property(fc.constantFrom<EndedAttempt>('failed', 'lost'), job, (outcome, at) => {
        const spent = { ...at, failures: at.attemptLimit };
        expect(afterAttempt(outcome, 'why', spent).kind).toBe('end');
      }),
    );
  });

  it('what cannot end otherwise is not tried again, and keeps its reason', () => {
    const at = {
      cancelRequested: false,
      cancelReason: null,
      failures: 1,
      attemptLimit: 5,
      secondsUsed: 1,
      maxSeconds: 10,
    };
    expect(afterAttempt('failed', 'bad-job: heads', { ...at, retriable: false })).toEqual({
      kind: 'end',
      state: 'failed',
      reason: 'bad-job: heads',
    });
  });
});
