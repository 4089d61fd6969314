import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';

export type RoundRule =
  | {
      readonly name: 'equal-shares';
      readonly utility: 'cost' | 'cardinality';
      readonly completion: 'none' | 'add1' | 'add1u' | 'phragmen';
    }
  | { readonly name: 'phragmen'; readonly skip: boolean }
  | {
      readonly name: 'greedy';
      readonly utility: 'cost' | 'cardinality';
      readonly skip: boolean;
      readonly threshold: number;
    }
  | { readonly name: 'schulze'; readonly quorum: number }
  | { readonly name: 'double-majority'; readonly quorum: number };

export type BallotType = 'approval' | 'points' | 'ranking' | 'yes-no';

/** What a round is held by. */
export interface Charter {
  readonly rule: RoundRule;
  readonly ballot?: BallotType | undefined;
  readonly pointsPerVoter: number;
  readonly endowments: 'equal' | 'contribution';
  readonly voters: 'labs' | 'members';
  readonly memberRoles: readonly string[];
  readonly deputies: boolean;
  readonly quorumBallots: number;
  readonly deliberation: boolean;
  readonly gpuTypes: readonly string[];
  readonly flagship: boolean;
  readonly schedule: Schedule;
}

export interface Schedule {
  readonly openProposalsAt?: string | undefined;
  readonly deliberateAt?: string | undefined;
  readonly openVoteAt?: string | undefined;
  readonly closeAt?: string | undefined;
}

export type CharterProblem = Problem<'governance.invalid-charter'>;

const budgetRules: readonly RoundRule['name'][] = ['equal-shares', 'phragmen', 'greedy'];

/** Whether the rule shares out GPU time among suites; the others decide between motions, policies and suites. */
export function sharesBudget(rule: RoundRule): boolean {
  return budgetRules.includes(rule.name);
}

const ballotsOfRule: Record<RoundRule['name'], readonly BallotType[]> = {
  'equal-shares': ['approval', 'points'],
  phragmen: ['approval'],
  greedy: ['approval', 'points'],
  schulze: ['ranking'],
  'double-majority': ['yes-no'],
};

/** The kind of ballot that the charter asks for. */
export function ballotTypeOf(charter: Charter): BallotType {
  return charter.ballot ?? ballotsOfRule[charter.rule.name][0] ?? 'approval';
}

/** Whether the charter's parts fit together; the first that does not is named. */
export function checkCharter(charter: Charter): Result<Charter, CharterProblem> {
  const { rule } = charter;
  const allowed = ballotsOfRule[rule.name];
  if (!allowed.includes(ballotTypeOf(charter))) {
    return refuse('ballot', `${rule.name} takes ${allowed.join(' or ')} ballots, not ${charter.ballot}`);
  }
  if (new Set(charter.gpuTypes).size < charter.gpuTypes.length) {
    return refuse('gpuTypes', 'a GPU type is named twice');
  }
  const phragmen =
    rule.name === 'phragmen' || (rule.name === 'equal-shares' && rule.completion === 'phragmen');
  if (phragmen && charter.gpuTypes.length > 1) {
    return refuse('gpuTypes', 'Phragmén shares out one budget; use equal-shares for several');
  }
  const doubleMajority = rule.name === 'double-majority' || charter.flagship;
  if (doubleMajority && charter.voters !== 'labs') {
    return refuse('voters', 'a double majority is one of labs: let labs vote');
  }
  if (charter.flagship && !sharesBudget(rule)) {
    return refuse('flagship', `a flagship comes before sharing out a budget, not before ${rule.name}`);
  }
  return checkSchedule(charter);
}

function checkSchedule(charter: Charter): Result<Charter, CharterProblem> {
  const { openProposalsAt, deliberateAt, openVoteAt, closeAt } = charter.schedule;
  if (deliberateAt !== undefined && !charter.deliberation) {
    return refuse('schedule.deliberateAt', 'this charter has no deliberation');
  }
  const steps = Object.entries({ openProposalsAt, deliberateAt, openVoteAt, closeAt }).flatMap(
    ([name, at]) => (at === undefined ? [] : [{ name, atMs: Date.parse(at) }]),
  );
  for (const [index, step] of steps.entries()) {
    const before = steps[index - 1];
    if (before !== undefined && step.atMs <= before.atMs) {
      return refuse(`schedule.${step.name}`, `is not after ${before.name}`);
    }
  }
  return ok(charter);
}

function refuse(field: string, why: string): Result<never, CharterProblem> {
  return err(
    problem('governance.invalid-charter', `charter.${field}: ${why}`, { field: `charter.${field}` }),
  );
}

/** Kinds of proposal that a rule can decide. */
export function decides(rule: RoundRule, kind: 'suite' | 'policy' | 'motion'): boolean {
  return kind === 'suite' || !sharesBudget(rule);
}
