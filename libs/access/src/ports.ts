import type { LabId, PersonId } from '@beamtime/kernel';
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
