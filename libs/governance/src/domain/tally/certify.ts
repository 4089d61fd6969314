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
  readonly endowment?: readonly string[];
  readonly raises?: number;
  readonly grain?: bigint;
  readonly overrun?: { readonly purchases: readonly CertifiedPrice[]; readonly grain: bigint };
  readonly stop?: CertifiedPrice;
}

/** Writes down what was put to the vote, how everyone voted, and what came of it. */
export function certify(box: BallotBox, count: Count): TallyCertificate {
  const { input } = box;
  return sealCertificate({
    format: CERTIFICATE_FORMAT,
    title: input.title ?? '',
    rule: certifiedRule(box, input.rule),
    seed: input.seed,
    units: {
      money: box.moneyScale.map(String),
      weight: String(box.weightScale),
      score: String(box.scoreScale),
      grain: String(count.grain ?? 1n),
      overrunGrain: String(count.overrun?.grain ?? 1n),
    },
    budgets: input.budgets.map(({ resource }, r) => ({ resource, amount: String(box.budget[r]) })),
    projects: input.projects.map(({ id, name, exclusiveGroup }, p) => ({
      id,
      name,
      costs: box.cost.map((costs) => String(costs[p])),
      ...(exclusiveGroup === undefined ? {} : { exclusiveGroup }),
    })),
    groups: certifiedGroups(box),
    endowment: count.endowment ?? [],
    raises: count.raises ?? 0,
    winners: count.winners,
    losers: count.losers,
    overrun: count.overrun?.purchases ?? [],
    stop: count.stop ? [count.stop] : [],
  });
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
export function noRoomReason(box: BallotBox, won: readonly number[], stoppedBy: number | undefined) {
  const left = potAfter(box, won);
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
