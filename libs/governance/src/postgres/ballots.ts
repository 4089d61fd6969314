import { type BallotView, ballotContentSchema, delegateLinkSchema } from '@beamtime/contracts';
import { z } from 'zod';

/** A ballot as the database has it. */
export interface BallotRecord {
  readonly id: string;
  readonly round_id: string;
  readonly voter_id: string;
  readonly lab_id: string;
  readonly cast_by: string;
  readonly chain: unknown;
  readonly assurance: BallotView['assurance'];
  readonly content: unknown;
  readonly revision: number;
  readonly cast_at: Date;
}

export const ballotColumns = `b.id, b.round_id, b.voter_id, b.lab_id, b.cast_by, b.chain, b.assurance, b.content,
  b.revision, b.cast_at`;

const chainSchema = z.array(delegateLinkSchema);

export function viewOfBallot(row: BallotRecord): BallotView {
  return {
    ballotId: row.id,
    roundId: row.round_id,
    voterId: row.voter_id,
    labId: row.lab_id,
    castBy: row.cast_by,
    chain: chainSchema.parse(row.chain),
    assurance: row.assurance,
    content: ballotContentSchema.parse(row.content),
    revision: row.revision,
    castAt: row.cast_at.toISOString(),
  };
}
