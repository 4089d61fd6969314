/** A role that somebody holds or is to hold; in a lab, or with null in the consortium. */
export interface HeldRole {
  readonly labId: string | null;
  readonly role: string;
}

/**
 * What a lab's delegate may give out in the own lab. Not its own role: a lab tells the consortium who its delegate is,
 * and the secretariat records it.
 */
const givenByDelegate: ReadonlySet<string> = new Set(['deputy', 'reviewer', 'operator', 'researcher']);

function holds(held: readonly HeldRole[], role: string, labId: string | null): boolean {
  return held.some((one) => one.role === role && one.labId === labId);
}

export function isSecretariat(held: readonly HeldRole[]): boolean {
  return holds(held, 'secretariat', null);
}

/** Whether somebody with these roles may give this one to anybody. */
export function mayGrant(granter: readonly HeldRole[], target: HeldRole): boolean {
  if (isSecretariat(granter)) return true;
  return (
    target.labId !== null && givenByDelegate.has(target.role) && holds(granter, 'delegate', target.labId)
  );
}

/** Whoever may give a role may take it; and everybody may lay down a role of their own. */
export function mayRevoke(revoker: readonly HeldRole[], ownRole: boolean, target: HeldRole): boolean {
  return ownRole || mayGrant(revoker, target);
}

/** Whether a viewer sees the e-mail address of somebody who belongs to these labs. */
export function seesAddress(
  viewer: { readonly personId: string; readonly memberships: readonly HeldRole[] },
  person: { readonly personId: string; readonly labIds: readonly (string | null)[] },
): boolean {
  if (viewer.personId === person.personId) return true;
  if (isSecretariat(viewer.memberships) || holds(viewer.memberships, 'auditor', null)) return true;
  return viewer.memberships.some((one) => one.labId !== null && person.labIds.includes(one.labId));
}

/** Roles whose holders look after the agent keys of their lab. */
export const agentKeyRoles = ['operator', 'delegate', 'deputy'] as const;

/** The labs whose agent keys somebody with these roles may see and revoke. */
export function labsWhoseAgentKeys(held: readonly HeldRole[]): string[] {
  const labs = held.flatMap((one) =>
    one.labId !== null && (agentKeyRoles as readonly string[]).includes(one.role) ? [one.labId] : [],
  );
  return [...new Set(labs)];
}
