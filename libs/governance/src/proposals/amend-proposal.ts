import type { ProposalBody, ProposalView } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { hasLabRole, type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { statesOfDiscussion } from '../domain/round-lifecycle.js';
import { findProposal, type ProposalRecord, proposalColumns, viewOfProposal } from '../postgres/proposals.js';
import { charterOf, findRound, type Refusal, refusalByState } from '../postgres/rounds.js';
import { AnalyseSuite } from './analyse-suite.js';
import { costProposal, type ProposalCost } from './cost-proposal.js';
import { appendVersion, faultOfFlagship } from './create-proposal.js';

export interface Amendment {
  readonly title?: string | undefined;
  readonly body: ProposalBody;
  readonly exclusiveGroup?: string | null | undefined;
  readonly flagship?: boolean | undefined;
  readonly note: string;
  readonly basedOnVersion?: number | undefined;
}

/** Amends a proposal before the vote, or withdraws it; for its proposer and the delegates of its lab. */
@Injectable()
export class AmendProposal {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(AnalyseSuite) private readonly analyseSuite: AnalyseSuite,
  ) {}

  async execute(
    caller: PersonPrincipal,
    proposalId: string,
    wish: Amendment,
  ): Promise<Result<ProposalView, Refusal>> {
    const { read } = this.transactor;
    const found = await this.mine(read, caller, proposalId);
    if (!found.ok) return found;
    if (found.value.kind !== wish.body.kind) {
      return err(
        problem('governance.invalid-proposal', `An amendment keeps the kind: this is a ${found.value.kind}`),
      );
    }
    const round = await findRound(read, found.value.round_id);
    if (!round.ok) return round;
    const fault = faultOfFlagship(charterOf(round.value), wish);
    if (fault !== undefined) return err(fault);
    const cost = await costProposal(this.analyseSuite, round.value, wish.body);
    if (!cost.ok) return cost;
    return this.transactor.run(async (tx) => {
      const amended = await amend(tx, found.value, wish, cost.value);
      if (amended === undefined) return err(await whyNotAmended(tx, found.value, wish));
      await appendVersion(tx, amended, caller.personId, wish.note);
      await tx.audit({
        actor: caller.personId,
        action: 'proposal.amend',
        subject: proposalId,
        details: { version: amended.version, gpuSeconds: cost.value.gpuSeconds },
      });
      return ok(viewOfProposal(amended));
    });
  }

  async withdraw(
    caller: PersonPrincipal,
    proposalId: string,
    reason: string,
  ): Promise<Result<ProposalView, Refusal>> {
    const found = await this.mine(this.transactor.read, caller, proposalId);
    if (!found.ok) return found;
    return this.transactor.run(async (tx) => {
      const withdrawn = await tx.row<ProposalRecord>(
        `WITH r AS (SELECT id FROM governance.round WHERE id = $2 AND state = ANY($3) FOR SHARE)
         UPDATE governance.proposal SET state = 'withdrawn' WHERE id = $1 AND state = 'open'
           AND EXISTS (SELECT FROM r) RETURNING ${proposalColumns}`,
        [proposalId, found.value.round_id, statesOfDiscussion],
      );
      if (withdrawn === undefined) return err(await whyNotAmended(tx, found.value, {}));
      await tx.audit({
        actor: caller.personId,
        action: 'proposal.withdraw',
        subject: proposalId,
        details: { reason },
      });
      return ok(viewOfProposal(withdrawn));
    });
  }

  private async mine(
    tx: Tx,
    caller: PersonPrincipal,
    proposalId: string,
  ): Promise<Result<ProposalRecord, Refusal>> {
    const found = await findProposal(tx, proposalId);
    if (!found.ok) return found;
    const { proposed_by, lab_id } = found.value;
    if (proposed_by !== caller.personId && !hasLabRole(caller, lab_id, 'delegate')) {
      return err(
        problem('auth.forbidden', 'Only the proposer and the delegates of the proposing lab may do this'),
      );
    }
    return found;
  }
}

async function amend(
  tx: Tx,
  before: ProposalRecord,
  wish: Amendment,
  cost: ProposalCost,
): Promise<ProposalRecord | undefined> {
  return tx.row<ProposalRecord>(
    `WITH r AS (SELECT id FROM governance.round WHERE id = $2 AND state = ANY($3) FOR SHARE)
     UPDATE governance.proposal SET version = version + 1, title = COALESCE($4, title), body = $5, gpu_type = $6,
       gpu_seconds = $7, exclusive_group = CASE WHEN $8::boolean THEN $9 ELSE exclusive_group END,
       flagship = COALESCE($10, flagship), amended_at = now()
     WHERE id = $1 AND state = 'open' AND ($11::int IS NULL OR version = $11) AND EXISTS (SELECT FROM r)
     RETURNING ${proposalColumns}`,
    [
      before.id,
      before.round_id,
      statesOfDiscussion,
      wish.title ?? (wish.body.kind === 'suite' ? wish.body.design.title : null),
      JSON.stringify(wish.body),
      cost.gpuType,
      cost.gpuSeconds,
      wish.exclusiveGroup !== undefined,
      wish.exclusiveGroup ?? null,
      wish.flagship ?? null,
      wish.basedOnVersion ?? null,
    ],
  );
}

async function whyNotAmended(
  tx: Tx,
  before: ProposalRecord,
  wish: { basedOnVersion?: number | undefined },
): Promise<Refusal> {
  const now = await findProposal(tx, before.id);
  if (!now.ok) return now.error;
  if (now.value.state !== 'open') {
    return problem('governance.round-not-open', `The proposal is ${now.value.state}`, {
      state: now.value.state,
    });
  }
  if (wish.basedOnVersion !== undefined && now.value.version !== wish.basedOnVersion) {
    return problem(
      'state.conflict',
      `The proposal is at version ${now.value.version} by now; look at it before you amend it again`,
      { version: now.value.version },
    );
  }
  return refusalByState(tx, before.round_id, 'Changing a proposal', statesOfDiscussion);
}
