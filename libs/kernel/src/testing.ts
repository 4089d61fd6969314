import { invariant } from './assert.js';
import { isTerminal, reachableStates, type TransitionTable } from './transitions.js';

/** Asserts what every lifecycle must have: all states reachable from one where it begins, and from each a way to an end. */
export function assertSoundLifecycle<State extends string>(
  table: TransitionTable<State>,
  ...beginnings: readonly State[]
): void {
  const states = Object.keys(table) as State[];
  const seen = new Set(beginnings.flatMap((beginning) => [...reachableStates(table, beginning)]));
  for (const state of states) {
    invariant(seen.has(state), `state ${state} is not reachable from ${beginnings.join(' or ')}`);
    const ends = [...reachableStates(table, state)].some((s) => isTerminal(table, s));
    invariant(ends, `from state ${state} nothing ends`);
    for (const to of table[state]) invariant(states.includes(to), `${state} leads to unknown state ${to}`);
  }
}
