import type { KeyWire, Scope } from '@beamtime/contracts';
import type { AllocationId, ApiKeyId, ClusterId, LabId, PersonId } from '@beamtime/kernel';

/** What is kept of a key: everything but the key. */
export interface ApiKey {
  readonly keyId: ApiKeyId;
  readonly kind: 'allocation' | 'agent';
  readonly label: string;
  readonly shownPrefix: string;
  readonly personId: PersonId | null;
  readonly allocationId: AllocationId | null;
  readonly scopes: readonly Scope[];
  readonly clusterId: ClusterId | null;
  readonly labId: LabId | null;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly lastUsedAt: Date | null;
}

/** A key just made: `token` is shown to its owner now and never again. */
export interface MintedKey {
  readonly key: ApiKey;
  readonly token: string;
}

export const keyColumns = `id AS "keyId", kind, label, shown_prefix AS "shownPrefix", person_id AS "personId",
  allocation_id AS "allocationId", scopes, cluster_id AS "clusterId", lab_id AS "labId", created_at AS "createdAt",
  expires_at AS "expiresAt", revoked_at AS "revokedAt", last_used_at AS "lastUsedAt"`;

export function keyWire(key: ApiKey): KeyWire {
  return {
    ...key,
    scopes: [...key.scopes],
    createdAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt?.toISOString() ?? null,
    revokedAt: key.revokedAt?.toISOString() ?? null,
    lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  };
}
