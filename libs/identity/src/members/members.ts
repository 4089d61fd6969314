import type { MemberWire, Role } from '@beamtime/contracts';
import type { LabId, PersonId } from '@beamtime/kernel';
import type { PersonPrincipal, Tx } from '@beamtime/platform';
import { seesAddress } from '../domain/grant-rules.js';

/** A person in a role. */
export interface Member {
  readonly personId: PersonId;
  readonly name: string;
  readonly email: string;
  readonly role: Role;
  readonly labId: LabId | null;
  readonly since: Date;
  readonly invited: boolean;
}

const memberSelect = `SELECT p.id AS "personId", p.name, p.email, m.role, m.lab_id AS "labId",
    m.granted_at AS since, p.first_login_at IS NULL AS invited
  FROM identity.membership m JOIN identity.person p ON p.id = m.person_id`;

/** The members of a lab, or with null those who hold a role in the consortium. */
export function membersOf(tx: Tx, labId: LabId | null): Promise<Member[]> {
  return tx.rows<Member>(`${memberSelect} WHERE m.lab_id IS NOT DISTINCT FROM $1 ORDER BY p.name, m.id`, [
    labId,
  ]);
}

export function memberOf(
  tx: Tx,
  personId: PersonId,
  labId: LabId | null,
  role: Role,
): Promise<Member | undefined> {
  return tx.row<Member>(
    `${memberSelect} WHERE m.person_id = $1 AND m.lab_id IS NOT DISTINCT FROM $2 AND m.role = $3`,
    [personId, labId, role],
  );
}

/** A member as a viewer may see it: without the address unless they share a lab or keep the books. */
export function memberWire(member: Member, viewer: PersonPrincipal): MemberWire {
  const sees = seesAddress(viewer, { personId: member.personId, labIds: [member.labId] });
  return { ...member, email: sees ? member.email : null, since: member.since.toISOString() };
}
