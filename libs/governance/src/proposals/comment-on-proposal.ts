import { err, ok, problem, type Result } from '@beamtime/kernel';
import { labsOf, type PersonPrincipal, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { statesOfDiscussion } from '../domain/round-lifecycle.js';
import { findProposal } from '../postgres/proposals.js';
import { type Refusal, refusalByState } from '../postgres/rounds.js';

/** A discussion longer than this has left the proposal behind. */
const commentsPerProposalAtMost = 2_000;

export interface CommentView {
  readonly commentId: number;
  readonly proposalId: string;
  readonly version: number;
  readonly by: string;
  readonly labId: string | null;
  readonly text: string;
  readonly inReplyTo: number | null;
  readonly at: string;
}

interface CommentRecord {
  id: string;
  proposal_id: string;
  version: number;
  by_person: string;
  lab_id: string | null;
  text: string;
  in_reply_to: string | null;
  at: Date;
}

const commentColumns = 'id, proposal_id, version, by_person, lab_id, text, in_reply_to, at';

/** Adds to the discussion of a proposal, and reads it. */
@Injectable()
export class CommentOnProposal {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    caller: PersonPrincipal,
    proposalId: string,
    wish: { text: string; inReplyTo?: number | undefined },
  ): Promise<Result<CommentView, Refusal>> {
    if (caller.memberships.length === 0) {
      return err(problem('auth.forbidden', 'Only people of the consortium take part in the deliberation'));
    }
    return this.transactor.run(async (tx) => {
      const proposal = await findProposal(tx, proposalId);
      if (!proposal.ok) return proposal;
      if (wish.inReplyTo !== undefined && !(await exists(tx, proposalId, wish.inReplyTo))) {
        return err(problem('resource.not-found', `The proposal has no comment ${wish.inReplyTo}`));
      }
      const stored = await tx.row<CommentRecord>(
        `INSERT INTO governance.proposal_comment (proposal_id, version, by_person, lab_id, text, in_reply_to)
         SELECT $1, $2, $3, $4, $5, $6 FROM governance.round r
         WHERE r.id = $7 AND r.state = ANY($8)
           AND (SELECT count(*) FROM governance.proposal_comment c WHERE c.proposal_id = $1) < ${commentsPerProposalAtMost}
         FOR SHARE OF r RETURNING ${commentColumns}`,
        [
          proposalId,
          proposal.value.version,
          caller.personId,
          labsOf(caller)[0] ?? null,
          wish.text,
          wish.inReplyTo ?? null,
          proposal.value.round_id,
          statesOfDiscussion,
        ],
      );
      if (stored !== undefined) return ok(viewOfComment(stored));
      const refusal = await refusalByState(tx, proposal.value.round_id, 'Commenting', statesOfDiscussion);
      const full = (statesOfDiscussion as readonly unknown[]).includes(refusal.facts?.['state']);
      return err(
        full
          ? problem('limit.exceeded', `A proposal has at most ${commentsPerProposalAtMost} comments`)
          : refusal,
      );
    });
  }

  async list(proposalId: string): Promise<Result<CommentView[], Refusal>> {
    const proposal = await findProposal(this.transactor.read, proposalId);
    if (!proposal.ok) return proposal;
    const rows = await this.transactor.read.rows<CommentRecord>(
      `SELECT ${commentColumns} FROM governance.proposal_comment WHERE proposal_id = $1 ORDER BY id`,
      [proposalId],
    );
    return ok(rows.map(viewOfComment));
  }
}

async function exists(
  tx: { row: Transactor['read']['row'] },
  proposalId: string,
  commentId: number,
): Promise<boolean> {
  const found = await tx.row('SELECT 1 FROM governance.proposal_comment WHERE proposal_id = $1 AND id = $2', [
    proposalId,
    commentId,
  ]);
  return found !== undefined;
}

function viewOfComment(row: CommentRecord): CommentView {
  return {
    commentId: Number(row.id),
    proposalId: row.proposal_id,
    version: row.version,
    by: row.by_person,
    labId: row.lab_id,
    text: row.text,
    inReplyTo: row.in_reply_to === null ? null : Number(row.in_reply_to),
    at: row.at.toISOString(),
  };
}
