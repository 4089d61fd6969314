import { tally } from './tally.js';
import type { TallyInput, TallyRule } from './tally-input.js';

/** What another rule would have made of the same ballots. */
export interface Counterfactual {
  readonly rule: TallyRule;
  readonly label: string;
  readonly winners: readonly string[];
  readonly cost: readonly string[];
  /** Voters none of whose projects would have won. */
  readonly votersWithNothing: number;
}

const rules: readonly { readonly label: string; readonly rule: TallyRule }[] = [
  {
    label: 'Equal Shares, raised and filled up',
    rule: { name: 'equal-shares', utility: 'cost', completion: 'add1u' },
  },
  {
    label: 'Equal Shares, not completed',
    rule: { name: 'equal-shares', utility: 'cost', completion: 'none' },
  },
  { label: 'Phragmén', rule: { name: 'phragmen', skip: true } },
  { label: 'Most votes first (greedy)', rule: { name: 'greedy', utility: 'cost', skip: true } },
];

/** What would have won under the other rules, with the same threshold and the same lot. */
export function counterfactuals(input: TallyInput): Counterfactual[] {
  const found: Counterfactual[] = [];
  for (const { label, rule } of rules) {
    if (sameRule(rule, input.rule)) continue;
    const asked = withParametersOf(rule, input.rule);
    const counted = tally({ ...input, rule: asked });
    // Phragmén shares out one budget only, so it has nothing to say about several.
    if (!counted.ok) continue;
    const { winners, cost } = counted.value;
    const won = new Set(winners);
    const votersWithNothing = input.voters.filter(({ ballot }) => !ballot.some((id) => won.has(id))).length;
    found.push({ rule: asked, label, winners, cost, votersWithNothing });
  }
  return found;
}

function sameRule(a: TallyRule, b: TallyRule): boolean {
  if (a.name === 'equal-shares' && b.name === 'equal-shares') {
    return a.utility === b.utility && a.completion === b.completion;
  }
  if (a.name === 'greedy' && b.name === 'greedy') return a.utility === b.utility && a.skip === b.skip;
  return a.name === 'phragmen' && b.name === 'phragmen' && a.skip === b.skip;
}

function withParametersOf(rule: TallyRule, asked: TallyRule): TallyRule {
  const threshold = asked.threshold === undefined ? {} : { threshold: asked.threshold };
  const increment =
    asked.name === 'equal-shares' && asked.increment !== undefined ? { increment: asked.increment } : {};
  return rule.name === 'equal-shares' ? { ...rule, ...threshold, ...increment } : { ...rule, ...threshold };
}
