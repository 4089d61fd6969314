import type { PersonId } from '@beamtime/kernel';
import { newId, type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { mintToken } from '../mint-token.js';

/** A session unused for so long ends: a week covers a holiday weekend at a beamline. */
export const sessionIdleMs = 7 * 86_400_000;
/** However much it is used, one logs in again after a month. */
export const sessionLifeMs = 30 * 86_400_000;
/** A person's oldest sessions end beyond this many. */
const sessionsPerPersonAtMost = 50;

export interface OpenedSession {
  readonly token: string;
  readonly expiresAt: Date;
}

/** Opens a session for somebody who has just proven who they are. */
@Injectable()
export class OpenSession {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(personId: PersonId, assurance: PersonPrincipal['assurance']): Promise<OpenedSession> {
    return this.transactor.do((tx) => openSession(tx, personId, assurance));
  }
}

export async function openSession(
  tx: Tx,
  personId: PersonId,
  assurance: PersonPrincipal['assurance'],
): Promise<OpenedSession> {
  const { token, tokenHash } = mintToken('session');
  const expiresAt = new Date(Date.now() + sessionIdleMs);
  await tx.changed('DELETE FROM identity.session WHERE expires_at < now()');
  await tx.changed(
    `DELETE FROM identity.session WHERE id IN (
       SELECT id FROM identity.session WHERE person_id = $1 ORDER BY last_seen_at DESC OFFSET $2)`,
    [personId, sessionsPerPersonAtMost - 1],
  );
  await tx.rows(
    'INSERT INTO identity.session (id, token_hash, person_id, assurance, expires_at) VALUES ($1, $2, $3, $4, $5)',
    [newId('Session'), tokenHash, personId, assurance, expiresAt],
  );
  return { token, expiresAt };
}
