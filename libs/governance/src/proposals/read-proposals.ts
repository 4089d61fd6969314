import {
  type ProposalBody,
  type ProposalView,
  proposalBodySchema,
  type SuiteAnalysis,
} from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { findProposal, type ProposalRecord, proposalColumns, viewOfProposal } from '../postgres/proposals.js';
import { findRound, type Refusal } from '../postgres/rounds.js';
import { AnalyseSuite } from './analyse-suite.js';

export interface ProposalVersionView {
  readonly version: number;
  readonly title: string;
  readonly body: ProposalBody;
  readonly gpuSeconds: number | null;
  readonly note: string;
  readonly by: string;
  readonly at: string;
}

/** Reads proposals, their history, and what a proposed suite would mean. */
@Injectable()
export class ReadProposals {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(AnalyseSuite) private readonly analyseSuite: AnalyseSuite,
  ) {}

  async one(proposalId: string): Promise<Result<ProposalView, Refusal>> {
    const found = await findProposal(this.transactor.read, proposalId);
    return found.ok ? ok(viewOfProposal(found.value)) : found;
  }

  async page(
    roundId: string,
    page: { limit: number; after?: string | undefined },
  ): Promise<Result<{ items: ProposalView[]; next: string | null }, Refusal>> {
    const round = await findRound(this.transactor.read, roundId);
    if (!round.ok) return round;
    const rows = await this.transactor.read.rows<ProposalRecord>(
      `SELECT ${proposalColumns} FROM governance.proposal WHERE round_id = $1 AND ($2::text IS NULL OR id > $2)
       ORDER BY id LIMIT $3`,
      [roundId, page.after ?? null, page.limit],
    );
    const next = rows.length < page.limit ? null : (rows.at(-1)?.id ?? null);
    return ok({ items: rows.map(viewOfProposal), next });
  }

  async versions(proposalId: string): Promise<Result<ProposalVersionView[], Refusal>> {
    const found = await findProposal(this.transactor.read, proposalId);
    if (!found.ok) return found;
    const rows = await this.transactor.read.rows<{
      version: number;
      title: string;
      body: unknown;
      gpu_seconds: string | null;
      note: string;
      by_person: string;
      at: Date;
    }>(
      `SELECT version, title, body, gpu_seconds, note, by_person, at FROM governance.proposal_version
       WHERE proposal_id = $1 ORDER BY version`,
      [proposalId],
    );
    return ok(
      rows.map((row) => ({
        version: row.version,
        title: row.title,
        body: proposalBodySchema.parse(row.body),
        gpuSeconds: row.gpu_seconds === null ? null : Number(row.gpu_seconds),
        note: row.note,
        by: row.by_person,
        at: row.at.toISOString(),
      })),
    );
  }

  async analysis(proposalId: string): Promise<Result<SuiteAnalysis, Refusal>> {
    const found = await this.one(proposalId);
    if (!found.ok) return found;
    const { body } = found.value;
    if (body.kind === 'suite') return this.analyseSuite.execute(body.design);
    return err(problem('governance.invalid-suite', `A ${body.kind} has no cells to analyse`));
  }
}
