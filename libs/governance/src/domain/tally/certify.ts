import { type BallotBox, incrementOf, whole } from './ballot-box.js';
import type { Tie } from './break-tie.js';
import {
  CERTIFICATE_FORMAT,
  type CertifiedGroup,
  type CertifiedLoser,
  type CertifiedPrice,
  type CertifiedRule,
  type CertifiedWinner,
  type LossReason,
  sealCertificate,
  type TallyCertificate,
} from './certificate.js';
import { lcm, type Rational } from './rational.js';
import type { Purchase } from './share-out.js';
import type { TallyRule } from './tally-input.js';

/** What a count by any rule comes to, before it is written down as a certificate. */
export interface Count {
  readonly winners: readonly CertifiedWinner[];
  readonly losers: readonly CertifiedLoser[];
  readonly ties: readonly Tie[];
  /** In the first budget. */
  readonly endowment?: bigint;
  readonly raises?: number;
  /** Prices, payments, endowment and what is left are in 1/grain of the unit of money. */
  readonly grain: bigint;
  readonly overrun?: readonly CertifiedPrice[];
  readonly stop?: CertifiedPrice;
}

/** Writes down what was put to the vote, how everyone voted, and what came of it. */
export function certify(box: BallotBox, count: Count): TallyCertificate {
  const { input } = box;
  const inGrains = grainsOf(box);
  const priced = <T extends CertifiedPrice>(item: T): T => ({
    ...item,
    prices: inGrains.amounts(item.prices),
  });
  return sealCertificate({
    format: CERTIFICATE_FORMAT,
    title: input.title ?? '',
    rule: certifiedRule(box, input.rule),
    seed: input.seed,
    units: {
      money: box.moneyScale.map(String),
      grains: String(inGrains.perBudget * count.grain),
      weight: String(box.weightScale),
      score: String(box.scoreScale),
    },
    budgets: input.budgets.map(({ resource }, r) => ({ resource, amount: String(box.budget[r]) })),
    projects: input.projects.map(({ id, name, exclusiveGroup }, p) => ({
      id,
      name,
      costs: box.cost.map((costs) => String(costs[p])),
      ...(exclusiveGroup === undefined ? {} : { exclusiveGroup }),
    })),
    groups: certifiedGroups(box),
    endowment: inGrains.amounts([String(count.endowment ?? 0n)])[0] ?? '0',
    raises: count.raises ?? 0,
    winners: count.winners.map((winner) => ({
      ...priced(winner),
      payments: winner.payments.map(({ amounts, groups }) => ({
        amounts: inGrains.amounts(amounts),
        groups,
      })),
    })),
    losers: count.losers.map(({ project, reason }) => ({
      project,
      reason: 'left' in reason ? { ...reason, left: inGrains.amounts(reason.left) } : reason,
    })),
    overrun: (count.overrun ?? []).map(priced),
    stop: count.stop ? [priced(count.stop)] : [],
  });
}

/** How amounts in parts of a unit of money become amounts in grains, of which every budget has as many. */
function grainsOf(box: BallotBox) {
  const perBudget = box.budget.reduce(lcm, 1n);
  const finer = box.budget.map((budget) => perBudget / budget);
  const alike = finer.every((factor) => factor === 1n);
  const amounts = (parts: readonly string[]): readonly string[] =>
    alike ? parts : parts.map((part, r) => String(BigInt(part) * (finer[r] ?? 1n)));
  return { perBudget, amounts };
}

function certifiedRule(box: BallotBox, rule: TallyRule): CertifiedRule {
  const threshold = String(box.threshold);
  switch (rule.name) {
    case 'equal-shares': {
      const { name, utility, completion } = rule;
      const increment = String(whole(incrementOf(rule), box.moneyScale[0] ?? 1n));
      return { name, utility, completion, increment, threshold };
    }
    case 'phragmen':
      return { name: rule.name, skip: rule.skip, threshold };
    case 'greedy':
      return { name: rule.name, utility: rule.utility, skip: rule.skip, threshold };
  }
}

function certifiedGroups(box: BallotBox): CertifiedGroup[] {
  const ids = box.input.projects.map(({ id }) => id);
  const scaleText = String(box.scoreScale);
  return box.groups.map(({ voterIds, weight, entries }) => ({
    voters: voterIds,
    weight: String(whole(weight, box.weightScale)),
    ballot: entries.map(({ project }) => ids[project] as string),
    scores: entries.map(({ score }) =>
      score.n === score.d ? scaleText : String(whole(score, box.scoreScale)),
    ),
  }));
}

export function idOf(box: BallotBox, project: number): string {
  return box.input.projects[project]?.id ?? '';
}

/** A factor that makes all these amounts whole. */
export function grainOf(amounts: Iterable<Rational>): bigint {
  let grain = 1n;
  for (const { d } of amounts) if (grain % d !== 0n) grain = lcm(grain, d);
  return grain;
}

export function certifiedPrice(box: BallotBox, { project, prices }: Purchase, grain: bigint): CertifiedPrice {
  return { project: idOf(box, project), prices: prices.map((price) => String(whole(price, grain))) };
}

/**
 * Why each project that did not win lost; `otherwise` is asked for those that had enough support and no winning
 * variant.
 */
export function losersOf(
  box: BallotBox,
  won: readonly number[],
  otherwise: (project: number) => LossReason,
): CertifiedLoser[] {
  const winners = new Set(won);
  const variants = new Map<number, number>();
  for (const project of won) variants.set(box.exclusive[project] as number, project);
  variants.delete(-1);
  const losers: CertifiedLoser[] = [];
  for (let project = 0; project < box.projectCount; project++) {
    if (winners.has(project)) continue;
    const variant = variants.get(box.exclusive[project] as number);
    let reason: LossReason | undefined;
    if (box.supportWeight[project] === 0) reason = { code: 'unsupported' };
    else if (box.eligible[project] === 0) reason = { code: 'below_threshold' };
    else if (variant !== undefined) reason = { code: 'variant', winner: idOf(box, variant) };
    losers.push({ project: idOf(box, project), reason: reason ?? otherwise(project) });
  }
  return losers;
}

/** Why a project lost that had to fit what was left of the budgets. */
export function noRoomReason(
  box: BallotBox,
  won: readonly number[],
  stoppedBy: number | undefined,
  grain: bigint,
) {
  const left = potAfter(box, won).map((amount) => amount * grain);
  return (project: number): LossReason =>
    stoppedBy === undefined || stoppedBy === project
      ? { code: 'no_room', left: left.map(String) }
      : { code: 'after_stop', stoppedBy: idOf(box, stoppedBy) };
}

/** What is left of each budget after these winners. */
export function potAfter(box: BallotBox, won: readonly number[]): bigint[] {
  return box.budget.map((budget, r) =>
    won.reduce((left, project) => left - (box.cost[r]?.[project] ?? 0n), budget),
  );
}
