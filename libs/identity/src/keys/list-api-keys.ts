import { type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { isSecretariat, labsWhoseAgentKeys } from '../domain/grant-rules.js';
import { type ApiKey, keyColumns } from './keys.js';

/** The condition for keys that a person looks after, with its parameters numbered from `first`. */
export function visibleTo(
  person: PersonPrincipal,
  first: number,
): { readonly sql: string; readonly parameters: readonly unknown[] } {
  return {
    sql: `($${first}::boolean OR person_id = $${first + 1} OR (kind = 'agent' AND lab_id = ANY($${first + 2})))`,
    parameters: [isSecretariat(person.memberships), person.personId, labsWhoseAgentKeys(person.memberships)],
  };
}

/** The keys that a person may revoke, oldest first. */
@Injectable()
export class ListApiKeys {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(by: PersonPrincipal, limit: number, after: string | undefined): Promise<ApiKey[]> {
    const visible = visibleTo(by, 3);
    return this.transactor.read.rows<ApiKey>(
      `SELECT ${keyColumns} FROM identity.api_key WHERE id > $1 AND ${visible.sql} ORDER BY id LIMIT $2`,
      [after ?? '', limit, ...visible.parameters],
    );
  }
}
