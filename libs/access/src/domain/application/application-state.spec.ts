import { assertSoundLifecycle } from '@beamtime/kernel/testing';
import { expect, it } from 'vitest';
import { holdTransitions } from '../ledger/hold-state.js';
import { allocationTransitions, applicationTransitions } from './application-state.js';

it('every state of applications, allocations and holds is reached, and each comes to an end', () => {
  assertSoundLifecycle(applicationTransitions, 'draft');
  assertSoundLifecycle(allocationTransitions, 'active');
  assertSoundLifecycle(holdTransitions, 'pending');
});

it('nothing is awarded that was not submitted, and nothing accepted that was not awarded', () => {
  const leadsTo = (to: string) =>
    Object.entries(applicationTransitions).flatMap(([from, next]) =>
      (next as readonly string[]).includes(to) ? [from] : [],
    );
  expect(leadsTo('awarded')).toEqual(['submitted', 'recommended']);
  expect(leadsTo('accepted')).toEqual(['awarded']);
});
