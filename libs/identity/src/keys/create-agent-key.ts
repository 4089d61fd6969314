import { type ClusterId, type LabId, ok, present } from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { mintToken } from '../mint-token.js';
import { within } from '../within.js';
import { type ApiKey, keyColumns, type MintedKey } from './keys.js';

export interface AgentKeyWanted {
  readonly clusterId: ClusterId;
  readonly labId: LabId;
  readonly label: string;
  /** Who made it: a person's id. */
  readonly createdBy: string;
}

/** Makes the key of a cluster's agent. Whether the person may register clusters of the lab is the caller's to check. */
@Injectable()
export class CreateAgentKey {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(wanted: AgentKeyWanted, tx?: Tx): Promise<MintedKey> {
    const made = await within<MintedKey, never>(this.transactor, tx, async (tx) => {
      const { token, tokenHash, shownPrefix } = mintToken('agent');
      const key = present(
        await tx.row<ApiKey>(
          `INSERT INTO identity.api_key (id, kind, label, token_hash, shown_prefix, cluster_id, lab_id, created_by)
           VALUES ($1, 'agent', $2, $3, $4, $5, $6, $7) RETURNING ${keyColumns}`,
          [
            newId('ApiKey'),
            wanted.label,
            tokenHash,
            shownPrefix,
            wanted.clusterId,
            wanted.labId,
            wanted.createdBy,
          ],
        ),
        'the key just inserted',
      );
      await tx.audit({
        actor: wanted.createdBy,
        action: 'key.create',
        subject: key.keyId,
        details: { kind: key.kind, clusterId: key.clusterId, labId: key.labId },
      });
      return ok({ key, token });
    });
    return present(made.ok ? made.value : undefined, 'making an agent key cannot be refused');
  }
}
