import type { Role } from '@beamtime/contracts';
import type { LabId, PersonId } from '@beamtime/kernel';
import { newId, type PersonPrincipal, type Tx } from '@beamtime/platform';
import { grantRole } from './members/grant-membership.js';
import { personOfEmail } from './members/invite-person.js';
import { openSession } from './sessions/open-session.js';

/** A lab for a test, without anybody having to admit it. */
export async function seedLab(tx: Tx, slug: string, contributionWeight = 1): Promise<LabId> {
  const labId = newId('Lab');
  await tx.rows('INSERT INTO identity.lab (id, slug, name, contribution_weight) VALUES ($1, $2, $3, $4)', [
    labId,
    slug,
    `Lab ${slug}`,
    contributionWeight,
  ]);
  return labId;
}

export interface SeededPerson {
  readonly personId: PersonId;
  /** A session's token, as the login would have given. */
  readonly token: string;
  readonly principal: PersonPrincipal;
}

/** A logged-in person with roles for a test. */
export async function seedPerson(
  tx: Tx,
  email: string,
  roles: readonly { readonly labId: LabId | null; readonly role: Role }[] = [],
): Promise<SeededPerson> {
  const personId = await personOfEmail(tx, email, undefined);
  await tx.changed(
    'UPDATE identity.person SET first_login_at = COALESCE(first_login_at, now()) WHERE id = $1',
    [personId],
  );
  for (const { labId, role } of roles) await grantRole(tx, personId, personId, labId, role);
  const { token } = await openSession(tx, personId, 'local');
  const name = email.slice(0, email.indexOf('@'));
  return {
    personId,
    token,
    principal: { kind: 'person', personId, name, email, memberships: [...roles], assurance: 'local' },
  };
}
