import { canonicalText } from './canonical-text.js';
import { CERTIFICATE_FORMAT, type TallyCertificate } from './certificate.js';
import { sha256 } from './sha256.js';

/** A project as the certificate states it, with who supports it by position of the group. */
export interface ReadProject {
  readonly id: string;
  readonly costs: readonly bigint[];
  /** The largest share of a budget that it costs, times the product of all budgets. */
  readonly size: bigint;
  readonly variants: string | undefined;
  /** The lot that a tie falls back on. */
  readonly lot: string;
  readonly support: Map<number, { readonly weight: bigint; readonly score: bigint }>;
  weight: bigint;
  total: bigint;
}

export interface ReadCertificate {
  readonly budgets: readonly bigint[];
  /** For each budget, the product of the others: what makes shares of different budgets comparable. */
  readonly others: readonly bigint[];
  readonly projects: ReadonlyMap<string, ReadProject>;
  readonly allWeight: bigint;
}

/** What is wrong with a certificate, in words for whoever checks it. */
export class CertificateFault extends Error {}

export function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new CertificateFault(reason);
}

/** A whole number, written the one way it can be. */
export function whole(text: string | undefined): bigint {
  check(text !== undefined && /^(0|-?[1-9]\d*)$/.test(text), `${text} is not a whole number`);
  return BigInt(text);
}

export function largest(all: readonly bigint[]): bigint {
  return all.reduce((a, b) => (a < b ? b : a), 0n);
}

/**
 * Reads what was put to the vote and how everyone voted, once the digests are right and it all makes sense. Only the
 * verifier uses it; the rules never see it.
 */
export function readCertificate({ sha256: seal, ...paper }: TallyCertificate): ReadCertificate {
  check(paper.format === CERTIFICATE_FORMAT, 'the format of the certificate is unknown');
  check(sha256(canonicalText(paper.groups)) === paper.ballotsSha256, 'the ballots do not match their digest');
  check(sha256(canonicalText(paper)) === seal, 'the content does not match its digest');
  const budgets = paper.budgets.map(({ amount }) => whole(amount));
  check(budgets.length > 0 && budgets.every((budget) => budget > 0n), 'a budget is not above zero');
  const others = budgets.map((_, r) =>
    budgets.reduce((all, budget, other) => (other === r ? all : all * budget), 1n),
  );
  const projects = new Map<string, ReadProject>();
  for (const { id, costs: texts, exclusiveGroup: variants } of paper.projects) {
    const costs = texts.map(whole);
    check(
      costs.length === budgets.length && costs.every((cost) => cost >= 0n),
      `the costs of ${id} are malformed`,
    );
    check(!projects.has(id), `project ${id} stands twice`);
    const lot = sha256(`beamtime lot\n${paper.seed}\n${id}`);
    const size = largest(costs.map((cost, r) => cost * (others[r] as bigint)));
    projects.set(id, { id, costs, size, variants, lot, support: new Map(), weight: 0n, total: 0n });
  }
  return { budgets, others, projects, allWeight: readBallots(paper.groups, projects) };
}

function readBallots(groups: TallyCertificate['groups'], projects: ReadonlyMap<string, ReadProject>): bigint {
  const voters = new Set<string>();
  let allWeight = 0n;
  for (const [group, { voters: members, weight: text, ballot, scores }] of groups.entries()) {
    for (const id of members) check(voters.size < voters.add(id).size, `voter ${id} stands twice`);
    const weight = whole(text) * BigInt(members.length);
    check(weight > 0n && scores.length === ballot.length, `the ballot of group ${group} is malformed`);
    allWeight += weight;
    for (const [entry, id] of ballot.entries()) {
      const project = projects.get(id);
      const score = whole(scores[entry]);
      check(
        project !== undefined && score > 0n && !project.support.has(group),
        `a vote for ${id} is malformed`,
      );
      project.support.set(group, { weight, score });
      project.weight += weight;
      project.total += weight * score;
    }
  }
  check(allWeight > 0n, 'nobody voted');
  return allWeight;
}

/** What a unit of weight was given in each budget after so many raises, in 1/grain of the unit of money. */
export function endowmentAfter(
  paper: TallyCertificate,
  ballots: ReadCertificate,
  raises: number,
  grain: bigint,
) {
  const { rule, units } = paper;
  if (rule.name !== 'equal-shares') return ballots.budgets.map(() => 0n);
  const [weightUnit, first] = [whole(units.weight), ballots.budgets[0] as bigint];
  const raise = BigInt(raises) * whole(rule.increment) * ballots.allWeight;
  return ballots.budgets.map((budget) => {
    const [given, parts] = [
      budget * grain * (weightUnit * first + raise),
      ballots.allWeight * first * weightUnit,
    ];
    check(given % parts === 0n, 'the grain is too coarse for the endowment');
    return given / parts;
  });
}
