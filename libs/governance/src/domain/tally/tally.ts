import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { type BallotBox, openBallotBox } from './ballot-box.js';
import type { TieBreaker } from './break-tie.js';
import type { TallyCertificate } from './certificate.js';
import { type Count, certify, idOf } from './certify.js';
import { countByEqualShares } from './certify-equal-shares.js';
import { countGreedily } from './certify-greedy.js';
import { countByPhragmen } from './certify-phragmen.js';
import { parseRational, rational, rationalText } from './rational.js';
import type { TallyInput, TallyRule } from './tally-input.js';

export type TallyProblem = Problem<'invalid_tally_input'>;

export interface TallyResult {
  /** Ids in order of purchase. */
  readonly winners: readonly string[];
  /** What the winners cost together in each budget, as exact text. */
  readonly cost: readonly string[];
  /** How often the rule was run: 1, and once more for each raise of the endowments that Add1 tried. */
  readonly rounds: number;
  /** Where several projects were level and the tie rule had to decide. */
  readonly ties: readonly TallyTie[];
  readonly certificate: TallyCertificate;
}

export interface TallyTie {
  /** The place, from 1, among the winners for which they were level. */
  readonly round: number;
  /** In the order in which the tie was broken. */
  readonly tied: readonly string[];
  readonly chosen: string;
  /** The last criterion that was needed. */
  readonly by: TieBreaker;
}

/** Counts an election. Pure and deterministic: the same ballots in any order give the same bytes. */
export function tally(input: TallyInput): Result<TallyResult, TallyProblem> {
  const refused = checkRule(input.rule, input.budgets.length);
  if (refused) return err(refused);
  const box = openBallotBox(input);
  if (!box.ok) return box;
  const outcome = count(box.value, input.rule);
  const certificate = certify(box.value, outcome);
  return ok({
    winners: certificate.winners.map(({ project }) => project),
    cost: costOf(box.value, certificate),
    rounds: 1 + certificate.raises + (outcome.overrun ? 1 : 0),
    ties: outcome.ties.map(({ round, tied, chosen, by }) => ({
      round,
      tied: tied.map((project) => idOf(box.value, project)),
      chosen: idOf(box.value, chosen),
      by,
    })),
    certificate,
  });
}

function count(box: BallotBox, rule: TallyRule): Count {
  switch (rule.name) {
    case 'equal-shares':
      return countByEqualShares(box, rule);
    case 'phragmen':
      return countByPhragmen(box, rule);
    case 'greedy':
      return countGreedily(box, rule);
  }
}

function checkRule(rule: TallyRule, budgets: number): TallyProblem | undefined {
  const refuse = (detail: string) => problem('invalid_tally_input', detail);
  const threshold = parseRational(rule.threshold ?? '0');
  if (!threshold || threshold.n < 0n) return refuse('the threshold must be a number, zero or above');
  if (rule.name === 'equal-shares' && rule.increment !== undefined) {
    const increment = parseRational(rule.increment);
    if (!increment || increment.n <= 0n) return refuse('the increment must be an amount above zero');
  }
  const oneBudget =
    rule.name === 'phragmen' || (rule.name === 'equal-shares' && rule.completion === 'phragmen');
  if (oneBudget && budgets > 1) return refuse('Phragmén shares out one budget; use Equal Shares for several');
  return undefined;
}

function costOf(box: BallotBox, certificate: TallyCertificate): string[] {
  const positions = new Map(box.input.projects.map(({ id }, index) => [id, index]));
  return box.cost.map((costs, resource) => {
    let sum = 0n;
    for (const { project } of certificate.winners) sum += costs[positions.get(project) ?? -1] ?? 0n;
    return rationalText(rational(sum, box.moneyScale[resource] ?? 1n));
  });
}
