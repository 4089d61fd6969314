import type { Cell } from './cell.js';
import type { Described } from './contrasts.js';

/** The cells as models described by their factors, as planned. */
export function describeCells(cells: readonly Cell[]): Described[] {
  return cells.map((cell) => ({ name: cell.name, factors: { ...cell.levels } }));
}
