import type { BallotView } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { statesWithPublicBallots } from '../domain/round-lifecycle.js';
import { type BallotRecord, ballotColumns, viewOfBallot } from '../postgres/ballots.js';
import { findRound, type Refusal } from '../postgres/rounds.js';
import { findVotes } from './find-votes.js';

/** Shows a voter the own ballot, and everybody all ballots once the vote has closed; nobody anything else. */
@Injectable()
export class ReadBallots {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async mine(
    caller: PersonPrincipal,
    roundId: string,
  ): Promise<Result<{ voterId: string; label: string; ballot: BallotView | null }[], Refusal>> {
    const { read } = this.transactor;
    const round = await findRound(read, roundId);
    if (!round.ok) return round;
    const votes = await findVotes(read, roundId, caller.personId);
    const rows = await read.rows<BallotRecord>(
      `SELECT ${ballotColumns} FROM governance.ballot b WHERE b.round_id = $1 AND b.voter_id = ANY($2)`,
      [roundId, votes.map(({ voterId }) => voterId)],
    );
    return ok(
      votes.map(({ voterId, label }) => {
        const row = rows.find((one) => one.voter_id === voterId);
        return { voterId, label, ballot: row === undefined ? null : viewOfBallot(row) };
      }),
    );
  }

  async page(
    roundId: string,
    page: { limit: number; after?: string | undefined },
  ): Promise<Result<{ items: BallotView[]; next: string | null; total: number }, Refusal>> {
    const { read } = this.transactor;
    const round = await findRound(read, roundId);
    if (!round.ok) return round;
    if (!statesWithPublicBallots.includes(round.value.state)) {
      const why =
        round.value.state === 'cancelled'
          ? 'The round was cancelled: its ballots are never published'
          : `Ballots are secret until the vote closes; the round is ${round.value.state}`;
      return err(problem('governance.ballots-secret', why, { state: round.value.state }));
    }
    const rows = await read.rows<BallotRecord>(
      `SELECT ${ballotColumns} FROM governance.ballot b JOIN governance.round r ON r.id = b.round_id
       WHERE r.id = $1 AND r.state = ANY($2) AND ($3::text IS NULL OR b.voter_id > $3) ORDER BY b.voter_id LIMIT $4`,
      [roundId, statesWithPublicBallots, page.after ?? null, page.limit],
    );
    const [count] = await read.rows<{ total: number }>(
      'SELECT count(*)::int AS total FROM governance.ballot WHERE round_id = $1',
      [roundId],
    );
    const next = rows.length < page.limit ? null : (rows.at(-1)?.voter_id ?? null);
    return ok({ items: rows.map(viewOfBallot), next, total: count?.total ?? 0 });
  }
}
