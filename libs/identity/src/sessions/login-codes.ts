import { createHash } from 'node:crypto';
import { err, ok, type PersonId, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { hashToken, mintToken, tokenKind } from '../mint-token.js';

/** The browser hands the code to a program on the same machine at once. */
const codeLifeMs = 60_000;

/**
 * One-time codes that carry a login from the browser to the command line. The code travels in an address, so it is
 * worthless without the verifier, which never left the program that asked for it (as PKCE does).
 */
@Injectable()
export class LoginCodes {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async issue(personId: PersonId, challenge: string): Promise<string> {
    const { token, tokenHash } = mintToken('loginCode');
    await this.transactor.do(async (tx) => {
      await tx.changed('DELETE FROM identity.login_code WHERE expires_at < now()');
      await tx.rows(
        'INSERT INTO identity.login_code (code_hash, challenge, person_id, expires_at) VALUES ($1, $2, $3, $4)',
        [tokenHash, challenge, personId, new Date(Date.now() + codeLifeMs)],
      );
    });
    return token;
  }

  /** The person of a code. Asking uses it up, also with a wrong verifier. */
  async redeem(
    code: string,
    verifier: string,
  ): Promise<Result<PersonId, Problem<'auth.invalid-credentials'>>> {
    const refused = err(
      problem('auth.invalid-credentials', 'The login code is unknown, used or too old; log in again'),
    );
    if (tokenKind(code) !== 'loginCode') return refused;
    const row = await this.transactor.do((tx) =>
      tx.row<{ person_id: PersonId; challenge: string; fresh: boolean }>(
        'DELETE FROM identity.login_code WHERE code_hash = $1 RETURNING person_id, challenge, expires_at > now() AS fresh',
        [hashToken(code)],
      ),
    );
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    if (row === undefined || !row.fresh || row.challenge !== challenge) return refused;
    return ok(row.person_id);
  }
}
