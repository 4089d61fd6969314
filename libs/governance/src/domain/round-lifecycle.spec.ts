import {
  drawTransitions,
  isTerminal,
  move,
  type Problem,
  type Result,
  reachableStates,
} from '@beamtime/kernel';
import { assertSoundLifecycle } from '@beamtime/kernel/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type RoundState,
  roundLifecycle,
  statesBeforeVote,
  statesWithPublicBallots,
} from './round-lifecycle.js';

const states = Object.keys(roundLifecycle) as RoundState[];

describe('the lifecycle of a round', () => {
  it('reaches every state, and from each an end', () => {
    assertSoundLifecycle<RoundState>(roundLifecycle, 'planned');
    expect(states.filter((state) => isTerminal<RoundState>(roundLifecycle, state))).toEqual([
      'decided',
      'cancelled',
    ]);
  });

  it('never returns to a state it has left, whatever is tried', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...states), { maxLength: 40 }), (attempts) => {
        let now = 'planned' as RoundState;
        const visited: RoundState[] = [now];
        for (const to of attempts) {
          const moved: Result<RoundState, Problem> = move<RoundState>(roundLifecycle, 'The round', now, to);
          if (!moved.ok) continue;
          now = moved.value;
          visited.push(now);
        }
        expect(new Set(visited).size).toBe(visited.length);
      }),
    );
  });

  it('publishes no ballot of a round that can still be cancelled, and none that can still be changed', () => {
    for (const state of statesWithPublicBallots) {
      expect(reachableStates<RoundState>(roundLifecycle, state)).not.toContain('cancelled');
      expect(reachableStates<RoundState>(roundLifecycle, state)).not.toContain('voting');
    }
  });

  it('cannot come back to where pledges and proposals change once the vote is open', () => {
    const after = reachableStates<RoundState>(roundLifecycle, 'voting');
    expect(statesBeforeVote.filter((state) => after.has(state))).toEqual([]);
  });

  it('draws itself', () => {
    expect(drawTransitions<RoundState>(roundLifecycle, 'planned')).toContain('voting --> counting');
  });
});
