import type { Scope } from '@beamtime/contracts';
import type { AllocationId, ApiKeyId, ClusterId, LabId, PersonId } from '@beamtime/kernel';
import {
  type AgentPrincipal,
  type ApiKeyPrincipal,
  type Authenticator,
  type Credential,
  type Membership,
  type PersonPrincipal,
  type Principal,
  Transactor,
  type Tx,
} from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { hashToken, tokenKind } from './mint-token.js';
import { sessionIdleMs, sessionLifeMs } from './sessions/open-session.js';

/**
 * How long a key may be believed without asking the database: below the second within which a revocation must bite.
 * Sessions are always looked up, since a new role must count at the next request.
 */
const keyBelievedMs = 500;
/** More keys than one process serves at a time; the oldest goes first. */
const keysBelievedAtMost = 5_000;
/** Use is recorded to the minute, so that reading does not become writing. */
const seenEveryMs = 60_000;

type KeyPrincipal = ApiKeyPrincipal | AgentPrincipal;

/** Turns tokens into principals by one indexed look-up each. */
@Injectable()
export class IdentityAuthenticator implements Authenticator {
  private readonly believed = new Map<
    string,
    { readonly principal: KeyPrincipal; readonly untilMs: number }
  >();

  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async authenticate(credential: Credential): Promise<Principal | null> {
    const token = credential.bearer ?? credential.session;
    if (token === undefined) return null;
    const kind = tokenKind(token);
    if (kind === null || kind === 'loginCode') return null;
    if (kind === 'session') return this.personOf(hashToken(token));
    // A key is for programs: a browser's cookie never holds one.
    return credential.bearer === undefined ? null : this.keyOf(hashToken(token));
  }

  /** Forgets what was believed of a key in this process; other processes do so by themselves within a second. */
  forget(keyId: string): void {
    for (const [hash, { principal }] of this.believed) {
      if (principal.keyId === keyId) this.believed.delete(hash);
    }
  }

  private async personOf(tokenHash: string): Promise<PersonPrincipal | null> {
    const tx = this.transactor.read;
    const row = await tx.row<{
      session_id: string;
      person_id: PersonId;
      name: string;
      email: string;
      assurance: PersonPrincipal['assurance'];
      unseen_ms: string;
      memberships: Membership[];
    }>(
      `SELECT s.id AS session_id, s.person_id, p.name, p.email, s.assurance,
         EXTRACT(epoch FROM now() - s.last_seen_at) * 1000 AS unseen_ms,
         COALESCE((SELECT json_agg(json_build_object('labId', m.lab_id, 'role', m.role) ORDER BY m.id)
           FROM identity.membership m WHERE m.person_id = p.id), '[]') AS memberships
       FROM identity.session s JOIN identity.person p ON p.id = s.person_id
       WHERE s.token_hash = $1 AND s.expires_at > now() AND p.suspended_at IS NULL`,
      [tokenHash],
    );
    if (row === undefined) return null;
    if (Number(row.unseen_ms) > seenEveryMs) await prolong(tx, row.session_id);
    return {
      kind: 'person',
      personId: row.person_id,
      name: row.name,
      email: row.email,
      memberships: row.memberships,
      assurance: row.assurance,
    };
  }

  private async keyOf(tokenHash: string): Promise<KeyPrincipal | null> {
    const believed = this.believed.get(tokenHash);
    if (believed !== undefined && believed.untilMs > performance.now()) return believed.principal;
    this.believed.delete(tokenHash);
    const tx = this.transactor.read;
    const row = await tx.row<KeyRow & { unused_ms: string | null }>(
      `SELECT id, kind, person_id, allocation_id, scopes, cluster_id, lab_id,
         EXTRACT(epoch FROM now() - last_used_at) * 1000 AS unused_ms
       FROM identity.api_key
       WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
         AND NOT EXISTS (SELECT 1 FROM identity.person p WHERE p.id = person_id AND p.suspended_at IS NOT NULL)`,
      [tokenHash],
    );
    if (row === undefined) return null;
    if (row.unused_ms === null || Number(row.unused_ms) > seenEveryMs) {
      await tx.changed('UPDATE identity.api_key SET last_used_at = now() WHERE id = $1', [row.id]);
    }
    const principal = principalOf(row);
    this.believe(tokenHash, principal);
    return principal;
  }

  private believe(tokenHash: string, principal: KeyPrincipal): void {
    const oldest = this.believed.keys().next();
    if (this.believed.size >= keysBelievedAtMost && oldest.done !== true) this.believed.delete(oldest.value);
    this.believed.set(tokenHash, { principal, untilMs: performance.now() + keyBelievedMs });
  }
}

interface KeyRow {
  readonly id: ApiKeyId;
  readonly kind: 'allocation' | 'agent';
  readonly person_id: PersonId;
  readonly allocation_id: AllocationId;
  readonly scopes: Scope[];
  readonly cluster_id: ClusterId;
  readonly lab_id: LabId;
}

/** The table's check keeps the fields of each kind together. */
function principalOf(row: KeyRow): KeyPrincipal {
  return row.kind === 'agent'
    ? { kind: 'agent', keyId: row.id, clusterId: row.cluster_id, labId: row.lab_id }
    : {
        kind: 'api-key',
        keyId: row.id,
        personId: row.person_id,
        allocationId: row.allocation_id,
        scopes: row.scopes,
      };
}

async function prolong(tx: Tx, sessionId: string): Promise<void> {
  await tx.changed(
    `UPDATE identity.session
     SET last_seen_at = now(), expires_at = LEAST(now() + $2::float8 * interval '1 ms', created_at + $3::float8 * interval '1 ms')
     WHERE id = $1`,
    [sessionId, sessionIdleMs, sessionLifeMs],
  );
}
