import type { Scope } from '@beamtime/contracts';
import {
  type AllocationId,
  err,
  ok,
  type PersonId,
  type Problem,
  present,
  problem,
  type Result,
} from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { mintToken } from '../mint-token.js';
import { within } from '../within.js';
import { type ApiKey, keyColumns, type MintedKey } from './keys.js';

/** Keys in use per allocation: one for each machine and notebook of a project, and no flood. */
const keysPerAllocationAtMost = 100;

export interface ApiKeyWanted {
  readonly allocationId: AllocationId;
  /** For whom the key acts. */
  readonly personId: PersonId;
  readonly scopes: readonly Scope[];
  readonly label: string;
  /** Null: as long as the allocation, which checks its own end. */
  readonly expiresAt: Date | null;
  /** Who made it: a person's id. */
  readonly createdBy: string;
}

/**
 * Makes an API key of an allocation. Whether the person may have one, and with which scopes, is the caller's to check:
 * the access context knows allocations.
 */
@Injectable()
export class CreateApiKey {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(wanted: ApiKeyWanted, tx?: Tx): Promise<Result<MintedKey, Problem<'limit.exceeded'>>> {
    return within(this.transactor, tx, async (tx) => {
      const inUse = await tx.row<{ count: string }>(
        `SELECT count(*) FROM identity.api_key WHERE allocation_id = $1 AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > now())`,
        [wanted.allocationId],
      );
      if (Number(inUse?.count) >= keysPerAllocationAtMost) {
        return err(
          problem(
            'limit.exceeded',
            `The allocation has ${keysPerAllocationAtMost} keys in use; revoke one first`,
          ),
        );
      }
      const { token, tokenHash, shownPrefix } = mintToken('allocation');
      const key = present(
        await tx.row<ApiKey>(
          `INSERT INTO identity.api_key
             (id, kind, label, token_hash, shown_prefix, person_id, allocation_id, scopes, created_by, expires_at)
           VALUES ($1, 'allocation', $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ${keyColumns}`,
          [
            newId('ApiKey'),
            wanted.label,
            tokenHash,
            shownPrefix,
            wanted.personId,
            wanted.allocationId,
            [...new Set(wanted.scopes)],
            wanted.createdBy,
            wanted.expiresAt,
          ],
        ),
        'the key just inserted',
      );
      await tx.audit({
        actor: wanted.createdBy,
        action: 'key.create',
        subject: key.keyId,
        details: {
          kind: key.kind,
          allocationId: key.allocationId,
          personId: key.personId,
          scopes: key.scopes,
        },
      });
      return ok({ key, token });
    });
  }
}
