import { type Charter, sharesBudget } from './charter.js';
import type { Caster, FrozenPledge, RollEntry } from './frozen-round.js';

/** A lab and its people, as identity knows them now. */
export interface ElectorateLab {
  readonly labId: string;
  readonly name: string;
  readonly contributionWeight: number;
  readonly inArrears: boolean;
  readonly people: readonly { readonly personId: string; readonly role: string }[];
}

/**
 * Who may vote, and with which weight. With contributions as weight a lab that contributes nothing has no vote;
 * a lab's members share its weight, so that a lab gains nothing by naming more people.
 */
export function drawRoll(
  charter: Charter,
  labs: readonly ElectorateLab[],
  pledges: readonly FrozenPledge[],
): RollEntry[] {
  const contributions = contributionsOf(charter, labs, pledges);
  const common = labs.reduce((divisor, lab) => gcd(divisor, contributions.get(lab.labId) ?? 0), 0);
  const roll: RollEntry[] = [];
  for (const lab of labs) {
    const contribution = contributions.get(lab.labId) ?? 0;
    if (weighs(charter) && contribution === 0) continue;
    const weight = weighs(charter) ? contribution / common : 1;
    const { labId, inArrears } = lab;
    if (charter.voters === 'labs') {
      const casters = castersOfLab(charter, lab);
      roll.push({
        voterId: labId,
        labId,
        label: lab.name,
        weight: `${weight}`,
        contribution,
        inArrears,
        casters,
      });
      continue;
    }
    const members = membersOf(charter, lab);
    for (const { personId } of members) {
      roll.push({
        voterId: personId,
        labId,
        // The roll is public: it names members by their id only.
        label: `a member of ${lab.name}`,
        weight: weighs(charter) ? fraction(weight, members.length) : '1',
        contribution,
        inArrears,
        casters: [{ personId, as: 'member' }],
      });
    }
  }
  return onceEach(roll);
}

/** What a lab brings: its pledges to this round, or where nothing is pledged, its weight in the consortium. */
function contributionsOf(
  charter: Charter,
  labs: readonly ElectorateLab[],
  pledges: readonly FrozenPledge[],
): Map<string, number> {
  const pledged = new Map<string, number>();
  for (const pledge of pledges) {
    pledged.set(pledge.labId, (pledged.get(pledge.labId) ?? 0) + pledge.gpuSeconds);
  }
  const total = [...pledged.values()].reduce((sum, one) => sum + one, 0);
  if (total > 0 || sharesBudget(charter.rule)) return pledged;
  return new Map(labs.map((lab) => [lab.labId, lab.contributionWeight]));
}

/** The double majority counts labs and contributions itself; its roll weighs by contribution all the same. */
function weighs(charter: Charter): boolean {
  return charter.endowments === 'contribution' || charter.rule.name === 'double-majority';
}

function castersOfLab(charter: Charter, lab: ElectorateLab): Caster[] {
  const casters = new Map<string, Caster>();
  for (const { personId, role } of lab.people) {
    if (role === 'delegate') casters.set(personId, { personId, as: 'delegate' });
    if (role === 'deputy' && charter.deputies && !casters.has(personId)) {
      casters.set(personId, { personId, as: 'deputy' });
    }
  }
  return [...casters.values()].sort(byPerson);
}

function membersOf(charter: Charter, lab: ElectorateLab): { personId: string }[] {
  const members = new Map<string, { personId: string }>();
  for (const { personId, role } of lab.people) {
    if (charter.memberRoles.includes(role)) members.set(personId, { personId });
  }
  return [...members.values()].sort(byPerson);
}

/** Somebody in two labs has one vote, with the lab that comes first. */
function onceEach(roll: readonly RollEntry[]): RollEntry[] {
  const seen = new Set<string>();
  return roll.filter(({ voterId }) => {
    if (seen.has(voterId)) return false;
    seen.add(voterId);
    return true;
  });
}

function byPerson(a: { personId: string }, b: { personId: string }): number {
  return a.personId < b.personId ? -1 : 1;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

function fraction(n: number, d: number): string {
  const common = gcd(n, d);
  return d / common === 1 ? `${n / common}` : `${n / common}/${d / common}`;
}
