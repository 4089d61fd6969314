import type { ProposalBody, ProposalView } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { labsOf, newId, type PersonPrincipal, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { RoundState } from '../domain/round-lifecycle.js';
import { type ProposalRecord, proposalColumns, viewOfProposal } from '../postgres/proposals.js';
import { charterOf, findRound, type Refusal, refusalByState } from '../postgres/rounds.js';
import { AnalyseSuite } from './analyse-suite.js';
import { costProposal, type ProposalCost } from './cost-proposal.js';

/** More would be nobody's reading. */
export const proposalsPerRoundAtMost = 500;

export interface NewProposal {
  readonly labId: string;
  readonly title?: string | undefined;
  readonly body: ProposalBody;
  readonly exclusiveGroup?: string | undefined;
  readonly flagship: boolean;
}

/** Brings a proposal before a round that takes proposals. */
@Injectable()
export class CreateProposal {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(AnalyseSuite) private readonly analyseSuite: AnalyseSuite,
  ) {}

  async execute(
    caller: PersonPrincipal,
    roundId: string,
    wish: NewProposal,
  ): Promise<Result<ProposalView, Refusal>> {
    if (!labsOf(caller).some((labId) => labId === wish.labId)) {
      return err(problem('auth.forbidden', 'You can only propose for a lab that you belong to'));
    }
    const title = wish.title ?? titleOf(wish.body);
    if (title === undefined) return err(problem('governance.invalid-proposal', 'Give the proposal a title'));
    const round = await findRound(this.transactor.read, roundId);
    if (!round.ok) return round;
    const fault = faultOfFlagship(charterOf(round.value), wish);
    if (fault !== undefined) return err(fault);
    const cost = await costProposal(this.analyseSuite, round.value, wish.body);
    if (!cost.ok) return cost;
    return this.transactor.run(async (tx) => {
      const stored = await insert(tx, caller, roundId, { ...wish, title }, cost.value);
      if (stored === undefined) {
        const states: RoundState[] = ['proposing'];
        const refusal = await refusalByState(tx, roundId, 'Proposing', states);
        const full = refusal.facts?.['state'] === 'proposing';
        return err(
          full
            ? problem('limit.exceeded', `A round has at most ${proposalsPerRoundAtMost} proposals`)
            : refusal,
        );
      }
      await tx.audit({
        actor: caller.personId,
        action: 'proposal.create',
        subject: stored.id,
        details: { roundId, labId: wish.labId, kind: wish.body.kind, gpuSeconds: cost.value.gpuSeconds },
      });
      return ok(viewOfProposal(stored));
    });
  }
}

function titleOf(body: ProposalBody): string | undefined {
  return body.kind === 'suite' ? body.design.title : undefined;
}

export function faultOfFlagship(
  charter: { flagship?: boolean },
  wish: { flagship?: boolean | undefined; body: ProposalBody },
): Refusal | undefined {
  if (wish.flagship !== true) return undefined;
  if (charter.flagship !== true) {
    return problem('governance.invalid-proposal', 'The charter of this round decides no flagship');
  }
  return wish.body.kind === 'suite'
    ? undefined
    : problem('governance.invalid-proposal', 'Only a suite can be a flagship');
}

async function insert(
  tx: Tx,
  caller: PersonPrincipal,
  roundId: string,
  wish: NewProposal & { title: string },
  cost: ProposalCost,
): Promise<ProposalRecord | undefined> {
  const { kind } = wish.body;
  const stored = await tx.row<ProposalRecord>(
    `INSERT INTO governance.proposal (id, round_id, kind, state, lab_id, proposed_by, version, title, body, suite_id,
       policy_id, gpu_type, gpu_seconds, exclusive_group, flagship)
     SELECT $1, r.id, $3, 'open', $4, $5, 1, $6, $7, $8, $9, $10, $11, $12, $13 FROM governance.round r
     WHERE r.id = $2 AND r.state = 'proposing'
       AND (SELECT count(*) FROM governance.proposal p WHERE p.round_id = r.id) < ${proposalsPerRoundAtMost}
     FOR SHARE OF r RETURNING ${proposalColumns}`,
    [
      newId('Proposal'),
      roundId,
      kind,
      wish.labId,
      caller.personId,
      wish.title,
      JSON.stringify(wish.body),
      kind === 'suite' ? newId('Suite') : null,
      kind === 'policy' ? newId('Policy') : null,
      cost.gpuType,
      cost.gpuSeconds,
      wish.exclusiveGroup ?? null,
      wish.flagship,
    ],
  );
  if (stored !== undefined) await appendVersion(tx, stored, caller.personId, 'First version');
  return stored;
}

export async function appendVersion(tx: Tx, row: ProposalRecord, by: string, note: string): Promise<void> {
  await tx.rows(
    `INSERT INTO governance.proposal_version (proposal_id, version, title, body, gpu_seconds, note, by_person)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [row.id, row.version, row.title, JSON.stringify(row.body), row.gpu_seconds, note, by],
  );
}
