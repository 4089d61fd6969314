import type { Decisions } from '../decisions.js';
import type { Snapshot } from '../snapshot.js';
import type { PackingScore } from './scores.js';
import type { Ask } from './workload.js';

export function decideByPacking(
  _s: Snapshot,
  _seed: number,
  _score: PackingScore,
  _w: readonly Ask[],
): Decisions {
  throw new Error('later');
}
