import { err, ok, type PersonId, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { grantRole } from '../members/grant-membership.js';
import { lockEmail, personOfEmail } from '../members/invite-person.js';

/** Issuer of the local login, in the place of an OpenID Connect issuer. */
export const localIssuer = 'local';

/** Somebody whom a way of logging in vouches for, address included. */
export interface ProvenIdentity {
  readonly issuer: string;
  /** Names the person at the issuer for ever, unlike the address. */
  readonly subject: string;
  readonly email: string;
  readonly name: string | undefined;
  /** `first`: the secretariat is theirs if they were never here before; `always`: also if they were. */
  readonly secretariat: 'no' | 'first' | 'always';
}

/**
 * Finds the person of a proven identity, or makes one. A first login binds what was granted to its address before.
 */
@Injectable()
export class LogInPerson {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(proven: ProvenIdentity): Promise<Result<PersonId, Problem<'auth.forbidden'>>> {
    return this.transactor.run(async (tx) => {
      await lockEmail(tx, proven.email);
      const known = await tx.row<{ person_id: PersonId }>(
        'UPDATE identity.login SET last_at = now() WHERE issuer = $1 AND subject = $2 RETURNING person_id',
        [proven.issuer, proven.subject],
      );
      const bound = known === undefined ? await bind(tx, proven) : ok(known.person_id);
      if (!bound.ok) return bound;
      const personId = bound.value;
      const suspended = await tx.row(
        'SELECT 1 FROM identity.person WHERE id = $1 AND suspended_at IS NOT NULL',
        [personId],
      );
      if (suspended !== undefined)
        return err(
          problem('auth.forbidden', 'Your access is suspended; ask the secretariat of the consortium'),
        );
      await refresh(tx, personId, proven);
      if (proven.secretariat === 'always' || (proven.secretariat === 'first' && known === undefined))
        await grantRole(tx, personId, personId, null, 'secretariat');
      return ok(personId);
    });
  }
}

/** Ties an identity to the person of its address, whom an invitation may have made before. */
async function bind(tx: Tx, proven: ProvenIdentity): Promise<Result<PersonId, Problem<'auth.forbidden'>>> {
  const personId = await personOfEmail(tx, proven.email, proven.name);
  // An address can be given to somebody else at the institution: the old holder's roles must not go with it. A local
  // login proves nothing that an institution's does not prove better, so it is no obstacle.
  const others = await tx.rows(
    'SELECT 1 FROM identity.login WHERE person_id = $1 AND issuer <> $2 AND $3::text <> $2',
    [personId, localIssuer, proven.issuer],
  );
  if (others.length > 0) {
    return err(
      problem(
        'auth.forbidden',
        'Your e-mail address belongs to another login here; ask the secretariat to sort it out',
      ),
    );
  }
  await tx.rows('INSERT INTO identity.login (issuer, subject, person_id) VALUES ($1, $2, $3)', [
    proven.issuer,
    proven.subject,
    personId,
  ]);
  await tx.audit({
    actor: personId,
    action: 'person.first-login',
    subject: personId,
    details: { issuer: proven.issuer },
  });
  return ok(personId);
}

/** Takes over name and address as the issuer has them now; an address that is taken stays the other person's. */
async function refresh(tx: Tx, personId: PersonId, proven: ProvenIdentity): Promise<void> {
  await tx.changed(
    `UPDATE identity.person p SET
       name = COALESCE($2, name),
       email = CASE WHEN EXISTS (SELECT 1 FROM identity.person o WHERE o.email = $3 AND o.id <> p.id)
         THEN p.email ELSE $3 END,
       first_login_at = COALESCE(first_login_at, now())
     WHERE id = $1`,
    [personId, proven.name ?? null, proven.email],
  );
}
