import type { TallyCertificate } from './certificate.js';
import { parseRational, rationalText } from './rational.js';
import type { TallyInput } from './tally-input.js';

export type Match = { readonly valid: true } | { readonly valid: false; readonly reason: string };

/** What another election is known by. */
class Mismatch extends Error {}

/**
 * Whether a certificate is about this election and no other: the same budgets, projects, costs and names, and for
 * each voter the same ballot. Whether the count is right is for the verifier to say.
 */
export function matchElection(certificate: TallyCertificate, election: TallyInput): Match {
  try {
    const title = certificate.title === (election.title ?? '');
    check(title, 'the certificate has another title than the election');
    matchBudgets(certificate, election);
    matchProjects(certificate, election);
    matchBallots(certificate, election);
    return { valid: true };
  } catch (error) {
    if (error instanceof Mismatch) return { valid: false, reason: error.message };
    throw error;
  }
}

function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new Mismatch(reason);
}

/** The canonical text of a number that is counted in parts of a unit, or stated directly. */
function exact(text: string | undefined, unit = '1'): string {
  const value = parseRational(text ?? '');
  const counted = value && parseRational(`${value.n}/${value.d * BigInt(unit)}`);
  return counted ? rationalText(counted) : '';
}

function matchBudgets({ budgets, units }: TallyCertificate, election: TallyInput): void {
  check(budgets.length === election.budgets.length, 'the certificate has another number of budgets');
  for (const [r, { resource, amount }] of election.budgets.entries()) {
    const same =
      budgets[r]?.resource === resource && exact(budgets[r]?.amount, units.money[r]) === exact(amount);
    check(same, `the certificate states another budget of ${resource}`);
  }
}

function matchProjects({ projects, units }: TallyCertificate, election: TallyInput): void {
  check(projects.length === election.projects.length, 'the certificate has another number of projects');
  const stated = new Map(projects.map((project) => [project.id, project]));
  for (const { id, name, costs, exclusiveGroup } of election.projects) {
    const project = stated.get(id);
    check(project !== undefined, `the certificate leaves out project ${id}`);
    check(project.name === name, `the certificate gives project ${id} another name`);
    check(project.exclusiveGroup === exclusiveGroup, `the certificate gives project ${id} other variants`);
    const sameCosts = costs.every((cost, r) => exact(project.costs[r], units.money[r]) === exact(cost));
    check(
      sameCosts && costs.length === project.costs.length,
      `the certificate gives project ${id} another cost`,
    );
  }
}

function matchBallots({ groups, units }: TallyCertificate, election: TallyInput): void {
  const stated = new Map<string, string>();
  for (const { voters, weight, ballot, scores } of groups) {
    const text = ballotText(
      exact(weight, units.weight),
      ballot,
      scores.map((score) => exact(score, units.score)),
    );
    for (const id of voters) stated.set(id, text);
  }
  check(stated.size === election.voters.length, 'the certificate has another number of voters');
  for (const { id, weight, ballot, scores } of election.voters) {
    check(stated.has(id), `the certificate leaves out voter ${id}`);
    const text = ballotText(
      exact(weight ?? '1'),
      ballot,
      ballot.map((_, entry) => (scores ? exact(scores[entry]) : '1')),
    );
    check(stated.get(id) === text, `the certificate gives voter ${id} another ballot or weight`);
  }
}

function ballotText(weight: string, ballot: readonly string[], scores: readonly string[]): string {
  const votes = ballot.map((id, entry) => `${id} ${scores[entry] ?? ''}`).sort();
  return JSON.stringify([weight, ...votes]);
}
