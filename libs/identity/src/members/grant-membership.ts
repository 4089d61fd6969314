import type { Role } from '@beamtime/contracts';
import {
  err,
  type LabId,
  ok,
  type PersonId,
  type Problem,
  present,
  problem,
  type Result,
} from '@beamtime/kernel';
import { type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { mayGrant } from '../domain/grant-rules.js';
import { findLab } from '../labs/labs.js';
import { personOfEmail } from './invite-person.js';
import { type Member, memberOf } from './members.js';

export interface Grantee {
  readonly personId?: string | undefined;
  readonly email?: string | undefined;
  readonly name?: string | undefined;
}

/** Gives a person a role, in a lab or (with null) in the consortium. Giving it again changes nothing. */
@Injectable()
export class GrantMembership {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(
    by: PersonPrincipal,
    labRef: string | null,
    grantee: Grantee,
    role: Role,
  ): Promise<Result<Member, Problem<'auth.forbidden' | 'resource.not-found'>>> {
    return this.transactor.run<Member, Problem<'auth.forbidden' | 'resource.not-found'>>(async (tx) => {
      const lab = labRef === null ? null : await findLab(tx, labRef);
      if (lab !== null && !lab.ok) return lab;
      const labId = lab === null ? null : lab.value.labId;
      if (!mayGrant(by.memberships, { labId, role })) {
        return err(
          problem(
            'auth.forbidden',
            `Only the secretariat${role === 'delegate' || labId === null ? '' : " or the lab's delegate"} gives the role ${role}${lab === null ? '' : ` in ${lab.value.slug}`}`,
          ),
        );
      }
      const person = await granteeOf(tx, grantee);
      if (!person.ok) return person;
      await grantRole(tx, by.personId, person.value, labId, role);
      return ok(present(await memberOf(tx, person.value, labId, role), 'the membership just granted'));
    });
  }
}

async function granteeOf(
  tx: Tx,
  { personId, email, name }: Grantee,
): Promise<Result<PersonId, Problem<'resource.not-found'>>> {
  if (email !== undefined) return ok(await personOfEmail(tx, email, name));
  const found = await tx.row<{ id: PersonId }>('SELECT id FROM identity.person WHERE id = $1', [personId]);
  return found === undefined
    ? err(problem('resource.not-found', `There is no person ${personId}; invite somebody new by e-mail`))
    : ok(found.id);
}

/** Adds a role unless it is held already; audited when it is new. */
export async function grantRole(
  tx: Tx,
  grantedBy: string,
  personId: PersonId,
  labId: LabId | null,
  role: Role,
): Promise<void> {
  const added = await tx.rows(
    `INSERT INTO identity.membership (person_id, lab_id, role, granted_by) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING RETURNING id`,
    [personId, labId, role, grantedBy],
  );
  if (added.length === 0) return;
  await tx.audit({
    actor: grantedBy,
    action: 'membership.grant',
    subject: personId,
    details: { labId, role },
  });
}
