import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';

/**
 * Shuts a person out and lets them in again. Roles and keys stay, so that a mistake costs nothing; sessions end for
 * good. Nobody suspends themselves, which also keeps the secretariat from emptying itself.
 */
@Injectable()
export class SuspendPerson {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  suspend(
    by: PersonPrincipal,
    personId: string,
  ): Promise<Result<undefined, Problem<'auth.forbidden' | 'resource.not-found'>>> {
    return this.transactor.run<undefined, Problem<'auth.forbidden' | 'resource.not-found'>>(async (tx) => {
      if (personId === by.personId) return err(problem('auth.forbidden', 'Nobody suspends themselves'));
      // Two members of the secretariat who suspend each other at once: the lock lets only the first one through.
      const able = await tx.rows<{ id: string }>(
        'SELECT id FROM identity.person WHERE id = ANY($1) AND suspended_at IS NULL ORDER BY id FOR UPDATE',
        [[by.personId, personId]],
      );
      if (!able.some((person) => person.id === by.personId))
        return err(problem('auth.forbidden', 'Your own access was suspended just now'));
      if (!able.some((person) => person.id === personId)) return this.known(personId);
      await tx.changed('UPDATE identity.person SET suspended_at = now() WHERE id = $1', [personId]);
      await tx.changed('DELETE FROM identity.session WHERE person_id = $1', [personId]);
      await tx.audit({ actor: by.personId, action: 'person.suspend', subject: personId, details: {} });
      return ok(undefined);
    });
  }

  restore(by: PersonPrincipal, personId: string): Promise<Result<undefined, Problem<'resource.not-found'>>> {
    return this.transactor.run<undefined, Problem<'resource.not-found'>>(async (tx) => {
      const restored = await tx.changed(
        'UPDATE identity.person SET suspended_at = NULL WHERE id = $1 AND suspended_at IS NOT NULL',
        [personId],
      );
      if (restored === 0) return this.known(personId);
      await tx.audit({ actor: by.personId, action: 'person.restore', subject: personId, details: {} });
      return ok(undefined);
    });
  }

  /** Doing it again changes nothing, but for nobody it cannot be done. */
  private async known(personId: string): Promise<Result<undefined, Problem<'resource.not-found'>>> {
    const found = await this.transactor.read.row('SELECT 1 FROM identity.person WHERE id = $1', [personId]);
    return found === undefined
      ? err(problem('resource.not-found', `There is no person ${personId}`))
      : ok(undefined);
  }
}
