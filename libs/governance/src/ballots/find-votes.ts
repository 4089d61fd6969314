import type { BallotView } from '@beamtime/contracts';
import type { Tx } from '@beamtime/platform';

/** A vote that a person may cast, and how it came to them. */
export interface VoteInHand {
  readonly voterId: string;
  readonly label: string;
  readonly inArrears: boolean;
  readonly chain: BallotView['chain'];
}

interface VoteRow {
  voter_id: string;
  label: string;
  in_arrears: boolean;
  capacity: 'delegate' | 'deputy' | 'member' | 'named-deputy';
  named_by: string | null;
}

/** The votes of a round that this person may cast, by the frozen roll or as a named deputy. */
export async function findVotes(tx: Tx, roundId: string, personId: string): Promise<VoteInHand[]> {
  const rows = await tx.rows<VoteRow>(
    `SELECT v.voter_id, v.label, v.in_arrears, c.capacity, NULL AS named_by
     FROM governance.roll_caster c JOIN governance.roll_entry v USING (round_id, voter_id)
     WHERE c.round_id = $1 AND c.person_id = $2
     UNION ALL
     SELECT v.voter_id, v.label, v.in_arrears, 'named-deputy', d.named_by
     FROM governance.named_deputy d JOIN governance.roll_entry v USING (round_id, voter_id)
     WHERE d.round_id = $1 AND d.deputy_id = $2 ORDER BY 1`,
    [roundId, personId],
  );
  const votes = new Map<string, VoteInHand>();
  for (const row of rows) {
    if (votes.has(row.voter_id)) continue;
    const { voter_id: voterId, label, in_arrears: inArrears } = row;
    votes.set(voterId, { voterId, label, inArrears, chain: chainOf(row, personId) });
  }
  return [...votes.values()];
}

/** From the voter to whoever casts: a member votes without a link, a lab through its delegate. */
function chainOf(row: VoteRow, personId: string): BallotView['chain'] {
  const { voter_id: voter, named_by: namedBy } = row;
  switch (row.capacity) {
    case 'member':
      return [];
    case 'delegate':
    case 'deputy':
      return [{ from: voter, to: personId, as: row.capacity }];
    case 'named-deputy': {
      const last = { from: namedBy ?? voter, to: personId, as: 'named-deputy' as const };
      return namedBy === null || namedBy === voter
        ? [last]
        : [{ from: voter, to: namedBy, as: 'delegate' as const }, last];
    }
  }
}
