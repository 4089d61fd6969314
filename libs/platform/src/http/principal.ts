import type { LabRole, Role, Scope } from '@beamtime/contracts';
import type { AllocationId, ApiKeyId, ClusterId, LabId, PersonId } from '@beamtime/kernel';

/** Who makes a request, as the authenticator found out. */
export type Principal = PersonPrincipal | ApiKeyPrincipal | AgentPrincipal;

export interface Membership {
  /** Null for a role in the consortium. */
  readonly labId: LabId | null;
  readonly role: Role;
}

export interface PersonPrincipal {
  readonly kind: 'person';
  readonly personId: PersonId;
  readonly name: string;
  readonly email: string;
  readonly memberships: readonly Membership[];
  /** How the person logged in; ballots carry it. */
  readonly assurance: 'local' | 'oidc';
}

/** A key of an allocation: acts for its owner within the allocation's scopes. */
export interface ApiKeyPrincipal {
  readonly kind: 'api-key';
  readonly keyId: ApiKeyId;
  readonly personId: PersonId;
  readonly allocationId: AllocationId;
  readonly scopes: readonly Scope[];
}

export interface AgentPrincipal {
  readonly kind: 'agent';
  readonly keyId: ApiKeyId;
  readonly clusterId: ClusterId;
  readonly labId: LabId;
}

export interface Credential {
  readonly bearer: string | undefined;
  /** Session cookie of a browser. */
  readonly session: string | undefined;
}

/** Port: turns a credential into a principal, or null if it is not valid. Identity provides it. */
export interface Authenticator {
  authenticate(credential: Credential): Promise<Principal | null>;
}
export const AUTHENTICATOR = Symbol('Authenticator');

/** Name of the cookie that holds a browser's session token. */
export const sessionCookie = 'beamtime_session';

export function hasRole(principal: Principal, role: Role): boolean {
  return principal.kind === 'person' && principal.memberships.some((m) => m.role === role);
}

/** Whether a person holds one of these roles in this lab. */
export function hasLabRole(principal: Principal, labId: string, ...anyOf: readonly LabRole[]): boolean {
  return (
    principal.kind === 'person' &&
    principal.memberships.some((m) => m.labId === labId && (anyOf as readonly Role[]).includes(m.role))
  );
}

/** The labs that a person belongs to in any role. */
export function labsOf(principal: Principal): LabId[] {
  if (principal.kind !== 'person') return [];
  return [...new Set(principal.memberships.flatMap((m) => (m.labId === null ? [] : [m.labId])))];
}
