import type { Completion, TallyRule, Utility } from '@beamtime/governance/tally';
import { UsageError } from '../core/usage-error.js';

/** The options of `beamtime tally` that say how to count. */
export interface RuleOptions {
  readonly rule: string;
  readonly utility: string;
  readonly completion: string;
  readonly increment?: string;
  readonly threshold?: string;
  /** From --skip or --no-skip; absent when neither is given. */
  readonly skip?: boolean;
}

const utilities: readonly Utility[] = ['cost', 'cardinality'];
const completions: readonly Completion[] = ['none', 'add1', 'add1u', 'phragmen'];

/** The rule that the options name. Greedy passes over what does not fit unless told otherwise, Phragmén stops. */
export function chooseRule(options: RuleOptions): TallyRule {
  const utility = oneOf('--utility', utilities, options.utility);
  const completion = oneOf('--completion', completions, options.completion);
  const threshold = options.threshold === undefined ? {} : { threshold: options.threshold };
  switch (options.rule) {
    case 'equal-shares': {
      const increment = options.increment === undefined ? {} : { increment: options.increment };
      return { name: 'equal-shares', utility, completion, ...increment, ...threshold };
    }
    case 'phragmen':
      return { name: 'phragmen', skip: options.skip ?? false, ...threshold };
    case 'greedy':
      return { name: 'greedy', utility, skip: options.skip ?? true, ...threshold };
    default:
      throw new UsageError(`--rule must be one of equal-shares, phragmen, greedy, not ${options.rule}`);
  }
}

function oneOf<T extends string>(option: string, known: readonly T[], given: string): T {
  const found = known.find((value) => value === given);
  if (found === undefined) throw new UsageError(`${option} must be one of ${known.join(', ')}, not ${given}`);
  return found;
}
