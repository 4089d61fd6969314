import { invariant, present } from '@beamtime/kernel';
import type { Contest, CountedBallot, CountTie, Loser, PartialCount, Winner } from './count-outcome.js';
import { hoursText } from './count-outcome.js';
import type { LossReason, TallyCertificate } from './tally/certificate.js';
import type { Counterfactual } from './tally/counterfactuals.js';
import { amountOf } from './tally/explain-tally.js';
import {
  add,
  divide,
  multiply,
  one,
  parseRational,
  type Rational,
  rational,
  rationalText,
  toNumber,
  zero,
} from './tally/rational.js';
import { tally } from './tally/tally.js';
import type { TallyInput, TallyRule, TallyVoter } from './tally/tally-input.js';

/**
 * Add1 raises every endowment by a thousandth of the equal share: cities raise by a currency unit, which for millions of
 * GPU-seconds would take millions of raises.
 */
const raisesPerShare = 1_000n;

/** Shares out the GPU time of a contest among its suites by the rule of the charter. */
export function countBudget(contest: Contest): PartialCount {
  const input = tallyInputOf(contest, ruleOf(contest));
  if (input === undefined) {
    return {
      winners: [],
      losers: contest.proposals.map(({ proposalId }) => ({
        proposalId,
        reason: 'The flagship left nothing of the budget',
      })),
      ties: [],
      alternatives: [],
      certificate: null,
    };
  }
  const counted = tally(input);
  invariant(counted.ok, counted.ok ? '' : `the count refuses what was frozen: ${counted.error.detail}`);
  const { certificate, winners, ties } = counted.value;
  const others = othersThan(input, incrementOf(contest));
  return {
    winners: winners.map((id) => winnerOf(contest, certificate, id)),
    losers: losersOf(contest, certificate),
    ties: ties.map((tie): CountTie => ({ tied: tie.tied, chosen: tie.chosen, by: tie.by })),
    alternatives: others.map(({ label, winners: won }) => ({ rule: label, winners: won })),
    certificate,
    shared: { result: counted.value, others },
  };
}

/** The contest as the engine takes it; undefined when no budget is left or nothing stands. */
export function tallyInputOf(contest: Contest, rule: TallyRule): TallyInput | undefined {
  const budgets = contest.budgets.filter(({ gpuSeconds }) => gpuSeconds > 0);
  const types = budgets.map(({ gpuType }) => gpuType);
  const projects = contest.proposals.filter(({ gpuType }) => gpuType !== null && types.includes(gpuType));
  const standing = new Set(projects.map(({ proposalId }) => proposalId));
  if (budgets.length === 0 || projects.length === 0) return undefined;
  return {
    title: contest.frozen.title,
    budgets: budgets.map(({ gpuType, gpuSeconds }) => ({ resource: gpuType, amount: `${gpuSeconds}` })),
    projects: projects.map(({ proposalId, title, gpuType, gpuSeconds, exclusiveGroup }) => ({
      id: proposalId,
      name: title,
      costs: types.map((type) => (type === gpuType ? `${gpuSeconds ?? 0}` : '0')),
      ...(exclusiveGroup === null ? {} : { exclusiveGroup }),
    })),
    voters: contest.ballots.map((ballot) => voterOf(contest, ballot, standing)),
    rule,
    seed: contest.seed,
  };
}

function voterOf(contest: Contest, ballot: CountedBallot, standing: ReadonlySet<string>): TallyVoter {
  const entry = present(contest.roll.get(ballot.voterId), `voter ${ballot.voterId} on the roll`);
  const { content } = ballot;
  invariant(
    content.kind === 'approval' || content.kind === 'points',
    `a ${content.kind} ballot in a budget vote`,
  );
  const id = ballot.voterId;
  const weight = entry.weight === '1' ? {} : { weight: entry.weight };
  if (content.kind === 'approval') {
    return { id, ...weight, ballot: content.approve.filter((one) => standing.has(one)) };
  }
  const scored = Object.entries(content.points).filter(
    ([project, points]) => points > 0 && standing.has(project),
  );
  return {
    id,
    ...weight,
    ballot: scored.map(([project]) => project),
    scores: scored.map(([, points]) => `${points}`),
  };
}

function ruleOf(contest: Contest): TallyRule {
  const { rule } = contest.frozen.charter;
  switch (rule.name) {
    case 'equal-shares':
      return {
        name: 'equal-shares',
        utility: rule.utility,
        completion: rule.completion,
        ...(rule.completion === 'add1' || rule.completion === 'add1u'
          ? { increment: incrementOf(contest) }
          : {}),
      };
    case 'phragmen':
      return rule;
    case 'greedy':
      return { ...rule, threshold: `${rule.threshold}` };
    default:
      throw new Error(`${rule.name} shares out no budget`);
  }
}

function incrementOf(contest: Contest): string {
  const first = contest.budgets.find(({ gpuSeconds }) => gpuSeconds > 0);
  let weights: Rational = zero;
  for (const { voterId } of contest.ballots) {
    weights = add(weights, parseRational(contest.roll.get(voterId)?.weight ?? '1') ?? one);
  }
  if (first === undefined || weights.n === 0n) return '1';
  return rationalText(
    divide(rational(BigInt(first.gpuSeconds)), multiply(weights, rational(raisesPerShare))),
  );
}

function winnerOf(contest: Contest, certificate: TallyCertificate, id: string): Winner {
  const supporters = certificate.groups
    .filter((group) => group.ballot.includes(id))
    .reduce((sum, group) => sum + group.voters.length, 0);
  const voters = contest.ballots.length;
  const by = certificate.winners.find(({ project }) => project === id)?.by ?? certificate.rule.name;
  return {
    proposalId: id,
    how: 'rule',
    reason: `${supporters} of ${voters} voters supported it; bought by ${by}`,
  };
}

function losersOf(contest: Contest, certificate: TallyCertificate): Loser[] {
  const types = certificate.budgets.map(({ resource }) => resource);
  const counted = certificate.losers.map(({ project, reason }) => {
    const proposal = contest.proposals.find(({ proposalId }) => proposalId === project);
    const type = types.indexOf(proposal?.gpuType ?? '');
    return {
      proposalId: project,
      reason: lossText(contest, reason, type, proposal?.gpuSeconds ?? 0, certificate),
    };
  });
  const seen = new Set(certificate.projects.map(({ id }) => id));
  const unfunded = contest.proposals.filter(({ proposalId }) => !seen.has(proposalId));
  return [
    ...counted,
    ...unfunded.map(({ proposalId }) => ({ proposalId, reason: 'Nothing was left of its budget' })),
  ];
}

function lossText(
  contest: Contest,
  reason: LossReason,
  type: number,
  costGpuSeconds: number,
  certificate: TallyCertificate,
): string {
  const titleOf = (id: string): string =>
    contest.proposals.find(({ proposalId }) => proposalId === id)?.title ?? id;
  const hours = (left: readonly string[]): string => {
    const exact = amountOf(certificate, type, left[type] ?? '0');
    return hoursText(toNumber(exact.n, exact.d));
  };
  const cost = hoursText(costGpuSeconds);
  switch (reason.code) {
    case 'unsupported':
      return 'Nobody supported it';
    case 'variant':
      return `Another variant won: ${titleOf(reason.winner)}`;
    case 'unaffordable':
      return `It costs ${cost}, and its supporters had ${hours(reason.left)} left together`;
    case 'no_room':
      return `It costs ${cost}, and ${hours(reason.left)} of the budget were left`;
    case 'below_threshold':
      return 'Its votes did not reach the threshold';
    case 'after_stop':
      return `The count stopped before it, at ${titleOf(reason.stoppedBy)}, which no longer fitted`;
  }
}

/** Beyond so many votes for single proposals the other rules are not tried: the count itself must not wait for them. */
const supportsForOthers = 500_000;

/**
 * What would have won under the other rules: for the reader of the result, not for the decision. Every completion
 * raises in the steps of this round.
 */
function othersThan(input: TallyInput, increment: string): Counterfactual[] {
  if (input.voters.reduce((sum, { ballot }) => sum + ballot.length, 0) > supportsForOthers) return [];
  const rules: { label: string; rule: TallyRule }[] = [
    {
      label: 'Equal Shares, raised and filled up',
      rule: { name: 'equal-shares', utility: 'cost', completion: 'add1u', increment },
    },
    {
      label: 'Equal Shares, not completed',
      rule: { name: 'equal-shares', utility: 'cost', completion: 'none' },
    },
    { label: 'Phragmén', rule: { name: 'phragmen', skip: true } },
    { label: 'Most votes first (greedy)', rule: { name: 'greedy', utility: 'cost', skip: true } },
  ];
  return rules.flatMap(({ label, rule }) => {
    if (JSON.stringify(rule) === JSON.stringify(input.rule)) return [];
    const counted = tally({ ...input, rule });
    // Phragmén shares out one budget only, so it has nothing to say about several.
    if (!counted.ok) return [];
    const { winners, cost } = counted.value;
    const won = new Set(winners);
    const votersWithNothing = input.voters.filter(({ ballot }) => !ballot.some((id) => won.has(id))).length;
    return [{ rule, label, winners, cost, votersWithNothing }];
  });
}
