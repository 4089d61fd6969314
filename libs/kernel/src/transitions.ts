import { type Problem, problem } from './problem.js';
import { err, ok, type Result } from './result.js';

/** A state machine as data: each state and where it may go. A state that goes nowhere is terminal. */
export type TransitionTable<State extends string> = Readonly<Record<State, readonly State[]>>;

export type IllegalTransition = Problem<'state.illegal-transition'>;

/** The move if the table allows it, or a typed error that names both states. */
export function move<State extends string>(
  table: TransitionTable<State>,
  what: string,
  from: State,
  to: State,
): Result<State, IllegalTransition> {
  if (table[from].includes(to)) return ok(to);
  const allowed = table[from].length === 0 ? 'nowhere: it has ended' : table[from].join(', ');
  return err(
    problem(
      'state.illegal-transition',
      `${what} is ${from} and cannot become ${to} (from here: ${allowed})`,
      {
        from,
        to,
      },
    ),
  );
}

/** The states from which `to` may be entered: the guard of a compare-and-set in SQL. */
export function statesBefore<State extends string>(table: TransitionTable<State>, to: State): State[] {
  return (Object.keys(table) as State[]).filter((from) => table[from].includes(to));
}

export function isTerminal<State extends string>(table: TransitionTable<State>, state: State): boolean {
  return table[state].length === 0;
}

export function reachableStates<State extends string>(
  table: TransitionTable<State>,
  from: State,
): Set<State> {
  const seen = new Set<State>([from]);
  const queue: State[] = [from];
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    for (const next of table[state]) {
      if (!seen.has(next)) {
        seen.add(next);
        queue.push(next);
      }
    }
  }
  return seen;
}

/** A Mermaid state diagram of the table; the documents draw lifecycles with it. */
export function drawTransitions<State extends string>(
  table: TransitionTable<State>,
  ...beginnings: readonly State[]
): string {
  // Mermaid reads a hyphen in an id as the begin of an arrow: such states get an id without, and their name beside it.
  const idOf = (state: State) => state.replaceAll('-', '_');
  const lines = ['stateDiagram-v2'];
  for (const state of Object.keys(table) as State[]) {
    if (idOf(state) !== state) lines.push(`  state "${state}" as ${idOf(state)}`);
  }
  for (const beginning of beginnings) lines.push(`  [*] --> ${idOf(beginning)}`);
  for (const from of Object.keys(table) as State[]) {
    if (table[from].length === 0) lines.push(`  ${idOf(from)} --> [*]`);
    for (const to of table[from]) lines.push(`  ${idOf(from)} --> ${idOf(to)}`);
  }
  return lines.join('\n');
}
