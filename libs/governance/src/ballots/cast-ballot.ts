import type { BallotContent, BallotView } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { newId, type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { checkBallot, flagshipVotesOf } from '../domain/check-ballot.js';
import type { FrozenRound } from '../domain/frozen-round.js';
import { type BallotRecord, ballotColumns, viewOfBallot } from '../postgres/ballots.js';
import { findFrozen, type Refusal, refusalByState } from '../postgres/rounds.js';
import { findVotes, type VoteInHand } from './find-votes.js';

export interface CastOutcome {
  readonly ballot: BallotView;
  readonly replaced: boolean;
  readonly message: string;
}

/** Puts a ballot into the box, in the place of an earlier one of the same voter. */
@Injectable()
export class CastBallot {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    caller: PersonPrincipal,
    roundId: string,
    wish: { voterId?: string | undefined; content: BallotContent },
  ): Promise<Result<CastOutcome, Refusal>> {
    return this.transactor.run(async (tx) => {
      const found = await findFrozen(tx, roundId);
      if (!found.ok) return found;
      const { frozen } = found.value;
      const vote = chooseVote(await findVotes(tx, roundId, caller.personId), wish.voterId);
      if (!vote.ok) return vote;
      const arrears = refusalByArrears(frozen, vote.value, wish.content);
      if (arrears !== undefined) return err(arrears);
      const content = checkBallot(frozen, wish.content);
      if (!content.ok) return content;
      const stored = await upsert(tx, caller, roundId, vote.value, wish.content);
      if (stored === undefined) return err(await whyRefused(tx, roundId));
      const ballot = viewOfBallot(stored);
      const replaced = ballot.revision > 1;
      const message = replaced
        ? `The ballot of ${vote.value.label} takes the place of the one before (change ${ballot.revision - 1})`
        : `The ballot of ${vote.value.label} is in the box; it can be changed until the close`;
      return ok({ ballot, replaced, message });
    });
  }
}

function chooseVote(votes: readonly VoteInHand[], voterId: string | undefined): Result<VoteInHand, Refusal> {
  if (voterId !== undefined) {
    const vote = votes.find((one) => one.voterId === voterId);
    if (vote !== undefined) return ok(vote);
    const detail = `By the roll of this round, frozen when the vote opened, you may not cast the vote of ${voterId}`;
    return err(problem('governance.not-on-roll', detail, { voterId }));
  }
  const [only, ...others] = votes;
  if (only === undefined) {
    return err(
      problem(
        'governance.not-on-roll',
        'By the roll of this round, frozen when the vote opened, you have no vote',
      ),
    );
  }
  if (others.length === 0) return ok(only);
  const choices = votes.map(({ voterId: id }) => id);
  return err(
    problem('governance.invalid-ballot', `You may vote for ${choices.join(', ')}: say for which as voterId`, {
      voterIds: choices,
    }),
  );
}

function refusalByArrears(
  frozen: FrozenRound,
  vote: VoteInHand,
  content: BallotContent,
): Refusal | undefined {
  if (!vote.inArrears) return undefined;
  const doubleMajority = frozen.charter.rule.name === 'double-majority';
  if (!doubleMajority && Object.keys(flagshipVotesOf(content)).length === 0) return undefined;
  return problem(
    'governance.in-arrears',
    `${vote.label} was in arrears when the vote opened: it has no vote by double majority`,
  );
}

/**
 * One statement: the ballot goes in if the vote is open at this very moment. It holds the round shared until the
 * commit, so a close waits for it; once the close has gone first, no row of the round fits any more.
 */
async function upsert(
  tx: Tx,
  caller: PersonPrincipal,
  roundId: string,
  vote: VoteInHand,
  content: BallotContent,
): Promise<BallotRecord | undefined> {
  return tx.row<BallotRecord>(
    `INSERT INTO governance.ballot AS b
       (id, round_id, voter_id, lab_id, cast_by, chain, assurance, content, revision, cast_at)
     SELECT $1, r.id, v.voter_id, v.lab_id, $4, $5, $6, $7, 1, clock_timestamp()
     FROM governance.round r JOIN governance.roll_entry v ON v.round_id = r.id AND v.voter_id = $3
     WHERE r.id = $2 AND r.state = 'voting' AND (r.close_at IS NULL OR r.close_at > clock_timestamp())
     FOR SHARE OF r
     ON CONFLICT ON CONSTRAINT ballot_one_per_voter DO UPDATE SET cast_by = EXCLUDED.cast_by,
       chain = EXCLUDED.chain, assurance = EXCLUDED.assurance, content = EXCLUDED.content,
       revision = b.revision + 1, cast_at = EXCLUDED.cast_at
     RETURNING ${ballotColumns}`,
    [
      newId('Ballot'),
      roundId,
      vote.voterId,
      caller.personId,
      JSON.stringify(vote.chain),
      caller.assurance,
      JSON.stringify(content),
    ],
  );
}

async function whyRefused(tx: Tx, roundId: string): Promise<Refusal> {
  const refusal = await refusalByState(tx, roundId, 'Casting a ballot', ['voting']);
  if (refusal.facts?.['state'] !== 'voting') return refusal;
  return problem('governance.round-not-open', 'The vote has closed: its deadline is over');
}
