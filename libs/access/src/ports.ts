import type { ProblemCode, Scope } from '@beamtime/contracts';
import type { AllocationId, ApiKeyId, LabId, PersonId, Problem, Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';

/** What access needs to know of people; the app joins it to identity. */
export interface People {
  /** Labs and roles of a person; undefined for one that nobody knows. */
  membershipsOf(
    tx: Tx,
    personId: string,
  ): Promise<readonly { readonly labId: LabId | null; readonly role: string }[] | undefined>;
}
export const PEOPLE = Symbol('People');

/** Whoever acts: what the use cases need of a logged-in person. */
export interface Actor {
  readonly personId: PersonId;
  readonly memberships: readonly { readonly labId: LabId | null; readonly role: string }[];
}

/** What access needs of whoever keeps keys; the app joins it to identity. */
export interface ApiKeys {
  create(
    tx: Tx,
    wanted: {
      readonly allocationId: AllocationId;
      readonly personId: PersonId;
      readonly scopes: readonly Scope[];
      readonly label: string;
      readonly expiresAt: Date | null;
    },
  ): Promise<Result<{ readonly keyId: ApiKeyId; readonly token: string }, Problem<ProblemCode>>>;
}
export const API_KEYS = Symbol('ApiKeys');
