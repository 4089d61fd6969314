import type { PersonId } from '@beamtime/kernel';
import { newId, type Tx } from '@beamtime/platform';

/** Until people say otherwise they are called what stands before the @. */
export function nameFromEmail(email: string): string {
  return email.slice(0, Math.max(1, email.indexOf('@')));
}

/** Whoever makes a person of an address does so alone: two first logins must not make two. */
export async function lockEmail(tx: Tx, email: string): Promise<void> {
  await tx.rows(`SELECT pg_advisory_xact_lock(hashtextextended('identity.email:' || $1, 0))`, [email]);
}

/** The person of an address; a new one, not logged in yet, if there is none. */
export async function personOfEmail(tx: Tx, email: string, name: string | undefined): Promise<PersonId> {
  await lockEmail(tx, email);
  const found = await tx.row<{ id: PersonId }>('SELECT id FROM identity.person WHERE email = $1', [email]);
  if (found !== undefined) return found.id;
  const personId = newId('Person');
  await tx.rows('INSERT INTO identity.person (id, name, email) VALUES ($1, $2, $3)', [
    personId,
    name ?? nameFromEmail(email),
    email,
  ]);
  return personId;
}
