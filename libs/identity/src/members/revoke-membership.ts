import type { Role } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { mayRevoke } from '../domain/grant-rules.js';
import { findLab } from '../labs/labs.js';

type RevokeProblem = Problem<'auth.forbidden' | 'resource.not-found' | 'identity.last-secretariat'>;

/** Takes a role from a person; everybody may lay down their own. It counts from the next request on. */
@Injectable()
export class RevokeMembership {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(
    by: PersonPrincipal,
    labRef: string | null,
    personId: string,
    role: Role,
  ): Promise<Result<undefined, RevokeProblem>> {
    return this.transactor.run<undefined, RevokeProblem>(async (tx) => {
      const lab = labRef === null ? null : await findLab(tx, labRef);
      if (lab !== null && !lab.ok) return lab;
      const labId = lab === null ? null : lab.value.labId;
      if (!mayRevoke(by.memberships, personId === by.personId, { labId, role })) {
        return err(problem('auth.forbidden', `You may not take the role ${role} from this person`));
      }
      if (role === 'secretariat' && !(await othersInSecretariat(tx, personId))) {
        return err(
          problem(
            'identity.last-secretariat',
            'Give the secretariat to somebody else, who has logged in, before the last one leaves it',
          ),
        );
      }
      const gone = await tx.changed(
        'DELETE FROM identity.membership WHERE person_id = $1 AND lab_id IS NOT DISTINCT FROM $2 AND role = $3',
        [personId, labId, role],
      );
      if (gone === 0)
        return err(problem('resource.not-found', `This person does not hold the role ${role} there`));
      await tx.audit({
        actor: by.personId,
        action: 'membership.revoke',
        subject: personId,
        details: { labId, role },
      });
      return ok(undefined);
    });
  }
}

/** Whether somebody else who can log in holds the secretariat; locked, so that two cannot leave at once. */
async function othersInSecretariat(tx: Tx, personId: string): Promise<boolean> {
  const holders = await tx.rows<{ person_id: string; able: boolean }>(
    `SELECT m.person_id, p.first_login_at IS NOT NULL AND p.suspended_at IS NULL AS able FROM identity.membership m JOIN identity.person p ON p.id = m.person_id
     WHERE m.role = 'secretariat' ORDER BY m.id FOR UPDATE OF m`,
  );
  return holders.some((one) => one.person_id !== personId && one.able);
}
