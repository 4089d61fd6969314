import { type RoundResult, roundResultSchema } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { pabulibOf } from '../domain/export-pabulib.js';
import { CERTIFICATE_FORMAT, type TallyCertificate } from '../domain/tally/certificate.js';
import { noSuchRound, type Refusal } from '../postgres/rounds.js';

interface TallyRecord {
  state: string;
  result: string | null;
  certificate: string | null;
  report: string | null;
}

/** Reads what a count published. */
@Injectable()
export class ReadResults {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async result(roundId: string): Promise<Result<RoundResult, Refusal>> {
    const tally = await this.tally(roundId);
    return tally.ok ? ok(roundResultSchema.parse(JSON.parse(tally.value.result))) : tally;
  }

  /** The very bytes whose SHA-256 the result shows. */
  async certificate(roundId: string): Promise<Result<string, Refusal>> {
    const tally = await this.tally(roundId);
    if (!tally.ok) return tally;
    if (tally.value.certificate !== null) return ok(tally.value.certificate);
    return err(
      problem('resource.not-found', 'There was nothing to count in this round, so it has no certificate'),
    );
  }

  /** One page without scripts or links. */
  async report(roundId: string): Promise<Result<string, Refusal>> {
    const tally = await this.tally(roundId);
    return tally.ok ? ok(tally.value.report ?? '') : tally;
  }

  /** A vote on one budget in the format of pabulib.org. */
  async pabulib(roundId: string): Promise<Result<string, Refusal>> {
    const certificate = await this.certificate(roundId);
    if (!certificate.ok) return certificate;
    const parsed = JSON.parse(certificate.value) as TallyCertificate;
    const file = parsed.format === CERTIFICATE_FORMAT ? pabulibOf(parsed) : undefined;
    if (file !== undefined) return ok(file);
    return err(
      problem('governance.not-a-budget-vote', 'The format of pabulib.org knows votes on one budget only'),
    );
  }

  private async tally(roundId: string): Promise<Result<TallyRecord & { result: string }, Refusal>> {
    const row = await this.transactor.read.row<TallyRecord>(
      `SELECT r.state, t.result, t.certificate, t.report FROM governance.round r
       LEFT JOIN governance.tally t ON t.round_id = r.id WHERE r.id = $1`,
      [roundId],
    );
    if (row === undefined) return err(noSuchRound(roundId));
    if (row.result === null) {
      return err(problem('governance.not-decided', `The round is ${row.state}`, { state: row.state }));
    }
    return ok({ ...row, result: row.result });
  }
}
