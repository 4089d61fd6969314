import type { Counterfactual } from '../tally/counterfactuals.js';
import type { TallyResult } from '../tally/tally.js';

export function renderTallyReport(result: TallyResult, others: readonly Counterfactual[]): string {
  return `${result.winners.length}${others.length}`;
}
