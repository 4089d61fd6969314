import type { PersonId } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { hashToken } from '../mint-token.js';

/** Ends the session of a token, or with `everywhere` all sessions of the person. */
@Injectable()
export class EndSession {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(personId: PersonId, token: string, everywhere: boolean): Promise<void> {
    await this.transactor.do(async (tx) => {
      await tx.changed('DELETE FROM identity.session WHERE person_id = $1 AND ($2 OR token_hash = $3)', [
        personId,
        everywhere,
        hashToken(token),
      ]);
    });
  }
}
