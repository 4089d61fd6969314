import type { Role } from '@beamtime/contracts';
import type { LabId, PersonId, Problem, Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { seesAddress } from './domain/grant-rules.js';
import { findLab, type Lab, labColumns } from './labs/labs.js';
import { type Member, membersOf } from './members/members.js';

export interface PersonMembership {
  readonly labId: LabId | null;
  readonly labSlug: string | null;
  readonly role: Role;
}

export interface KnownPerson {
  readonly personId: PersonId;
  readonly name: string;
  readonly email: string;
  readonly memberships: readonly PersonMembership[];
  readonly invited: boolean;
  readonly suspended: boolean;
}

const personSelect = `SELECT p.id AS "personId", p.name, p.email, p.first_login_at IS NULL AS invited,
    p.suspended_at IS NOT NULL AS suspended,
    COALESCE((SELECT json_agg(json_build_object('labId', m.lab_id, 'labSlug', l.slug, 'role', m.role) ORDER BY m.id)
      FROM identity.membership m LEFT JOIN identity.lab l ON l.id = m.lab_id WHERE m.person_id = p.id), '[]') AS memberships
  FROM identity.person p`;

/**
 * Reads who is who, as of now. Other contexts reach it through ports of their own that an app joins; each method
 * takes the caller's transaction where the answer must fit what the caller writes.
 */
@Injectable()
export class Directory {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  labs(tx: Tx = this.transactor.read): Promise<Lab[]> {
    return tx.rows<Lab>(`SELECT ${labColumns} FROM identity.lab ORDER BY slug`);
  }

  /** A lab by id or short name. */
  lab(ref: string, tx: Tx = this.transactor.read): Promise<Result<Lab, Problem<'resource.not-found'>>> {
    return findLab(tx, ref);
  }

  members(labId: LabId | null, tx: Tx = this.transactor.read): Promise<Member[]> {
    return membersOf(tx, labId);
  }

  async person(personId: string, tx: Tx = this.transactor.read): Promise<KnownPerson | undefined> {
    return tx.row<KnownPerson>(`${personSelect} WHERE p.id = $1`, [personId]);
  }

  /** Names by id, for listings of other contexts; unknown ids are left out. */
  async names(personIds: readonly string[], tx: Tx = this.transactor.read): Promise<Map<string, string>> {
    const rows = await tx.rows<{ id: string; name: string }>(
      'SELECT id, name FROM identity.person WHERE id = ANY($1)',
      [personIds],
    );
    return new Map(rows.map((row) => [row.id, row.name]));
  }

  people(limit: number, after: string | undefined, tx: Tx = this.transactor.read): Promise<KnownPerson[]> {
    return tx.rows<KnownPerson>(`${personSelect} WHERE p.id > $1 ORDER BY p.id LIMIT $2`, [
      after ?? '',
      limit,
    ]);
  }

  /** The labs that a person belongs to in any role: what conflicts of interest are found by. */
  async labIdsOf(personId: string, tx: Tx = this.transactor.read): Promise<LabId[]> {
    const rows = await tx.rows<{ lab_id: LabId }>(
      'SELECT DISTINCT lab_id FROM identity.membership WHERE person_id = $1 AND lab_id IS NOT NULL ORDER BY lab_id',
      [personId],
    );
    return rows.map((row) => row.lab_id);
  }

  /** Who holds a role; in one lab, or with null in the consortium, or with undefined anywhere. */
  async holdersOf(role: Role, labId?: LabId | null, tx: Tx = this.transactor.read): Promise<PersonId[]> {
    const rows = await tx.rows<{ person_id: PersonId }>(
      `SELECT DISTINCT person_id FROM identity.membership
       WHERE role = $1 AND ($2 OR lab_id IS NOT DISTINCT FROM $3) ORDER BY person_id`,
      [role, labId === undefined, labId ?? null],
    );
    return rows.map((row) => row.person_id);
  }
}

/** A person as a viewer may see it. */
export function personWire(person: KnownPerson, viewer: PersonPrincipal) {
  const labIds = person.memberships.map((one) => one.labId);
  const sees = seesAddress(viewer, { personId: person.personId, labIds });
  return { ...person, memberships: [...person.memberships], email: sees ? person.email : null };
}
