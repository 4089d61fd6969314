import { err, ok, type Problem, present, problem, type Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { IdentityAuthenticator } from '../authenticate.js';
import { type ApiKey, keyColumns } from './keys.js';
import { visibleTo } from './list-api-keys.js';

/** Revokes a key for good; revoking it again changes nothing. */
@Injectable()
export class RevokeApiKey {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(IdentityAuthenticator) private readonly authenticator: IdentityAuthenticator,
  ) {}

  /** For a person who looks after the key; for anybody else it does not exist. */
  async execute(by: PersonPrincipal, keyId: string): Promise<Result<ApiKey, Problem<'resource.not-found'>>> {
    const visible = visibleTo(by, 2);
    const revoked = await this.transactor.run(async (tx) => {
      const found = await tx.row<ApiKey>(
        `SELECT ${keyColumns} FROM identity.api_key WHERE id = $1 AND ${visible.sql} FOR UPDATE`,
        [keyId, ...visible.parameters],
      );
      if (found === undefined)
        return err(
          problem('resource.not-found', `You have no key ${keyId}; \`beamtime keys list\` shows yours`),
        );
      await revoke(tx, by.personId, 'id = $1', keyId);
      const after = await tx.row<ApiKey>(`SELECT ${keyColumns} FROM identity.api_key WHERE id = $1`, [keyId]);
      return ok(present(after, 'the key just revoked'));
    });
    if (revoked.ok) this.authenticator.forget(keyId);
    return revoked;
  }

  /** All keys of an allocation that ended, in the caller's transaction. */
  async ofAllocation(allocationId: string, actor: string, tx: Tx): Promise<void> {
    for (const keyId of await revoke(tx, actor, 'allocation_id = $1', allocationId))
      this.authenticator.forget(keyId);
  }

  /** All keys of a cluster that left or gets a new key, in the caller's transaction. */
  async ofCluster(clusterId: string, actor: string, tx: Tx): Promise<void> {
    for (const keyId of await revoke(tx, actor, 'cluster_id = $1', clusterId))
      this.authenticator.forget(keyId);
  }
}

async function revoke(tx: Tx, actor: string, which: string, value: string): Promise<string[]> {
  const gone = await tx.rows<{ id: string }>(
    `UPDATE identity.api_key SET revoked_at = now() WHERE ${which} AND revoked_at IS NULL RETURNING id`,
    [value],
  );
  for (const { id } of gone) await tx.audit({ actor, action: 'key.revoke', subject: id, details: {} });
  return gone.map((key) => key.id);
}
