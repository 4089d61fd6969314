/** What the rules need to know of an application. */
export interface Parties {
  readonly labId: string;
  readonly applicantId: string;
  readonly coApplicants: readonly { readonly personId: string; readonly labIds: readonly string[] }[];
  /** Who declared a conflict of interest. */
  readonly declaredConflicts: readonly string[];
}

/** What the rules need to know of whoever asks. */
export interface Asking {
  readonly personId: string;
  readonly memberships: readonly { readonly labId: string | null; readonly role: string }[];
}

/**
 * How a person stands to an application; decides all that the person may see and do with it. A conflict comes before
 * every office: nobody judges an application of their own lab, of people they apply with, or one they recused from.
 */
export type Relation =
  | { readonly kind: 'applicant' }
  | { readonly kind: 'co-applicant' }
  | { readonly kind: 'conflicted'; readonly why: string }
  | { readonly kind: 'secretariat' }
  | { readonly kind: 'reviewer'; readonly labId: string }
  | { readonly kind: 'auditor' }
  | { readonly kind: 'stranger' };

/** Offices that judge applications, and so can be conflicted. */
const judging = ['secretariat', 'reviewer'];

export function relationTo(parties: Parties, asking: Asking): Relation {
  const { personId, memberships } = asking;
  if (personId === parties.applicantId) return { kind: 'applicant' };
  const why = conflictOf(parties, asking);
  if (why !== null && memberships.some(({ role }) => judging.includes(role))) {
    return { kind: 'conflicted', why };
  }
  if (parties.coApplicants.some((one) => one.personId === personId)) return { kind: 'co-applicant' };
  if (memberships.some(({ role }) => role === 'secretariat')) return { kind: 'secretariat' };
  const reviewer = memberships.find(({ role, labId }) => role === 'reviewer' && labId !== null);
  if (reviewer?.labId) return { kind: 'reviewer', labId: reviewer.labId };
  if (memberships.some(({ role }) => role === 'auditor')) return { kind: 'auditor' };
  return { kind: 'stranger' };
}

/** Why this person must not judge this application; null when nothing speaks against it. */
export function conflictOf(parties: Parties, asking: Asking): string | null {
  const { personId, memberships } = asking;
  if (personId === parties.applicantId) return 'it is your own';
  if (parties.coApplicants.some((one) => one.personId === personId)) return 'you are a co-applicant';
  if (parties.declaredConflicts.includes(personId)) return 'you declared a conflict';
  const labs = memberships.flatMap(({ labId }) => (labId === null ? [] : [labId]));
  if (labs.includes(parties.labId)) return 'it comes from your own lab';
  if (parties.coApplicants.some((one) => one.labIds.some((labId) => labs.includes(labId)))) {
    return 'a co-applicant is of your lab';
  }
  return null;
}
