import { type RoundResult, roundResultSchema } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { noSuchRound, type Refusal } from '../postgres/rounds.js';

interface TallyRecord {
  state: string;
  result: string | null;
  certificate: string | null;
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

  private async tally(roundId: string): Promise<Result<TallyRecord & { result: string }, Refusal>> {
    const row = await this.transactor.read.row<TallyRecord>(
      `SELECT r.state, t.result, t.certificate FROM governance.round r
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
