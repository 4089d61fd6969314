import { type ProposalView, proposalBodySchema } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { Refusal } from './rounds.js';

/** A proposal as the database has it. */
export interface ProposalRecord {
  readonly id: string;
  readonly round_id: string;
  readonly kind: ProposalView['kind'];
  readonly state: ProposalView['state'];
  readonly lab_id: string;
  readonly proposed_by: string;
  readonly version: number;
  readonly title: string;
  readonly body: unknown;
  readonly suite_id: string | null;
  readonly policy_id: string | null;
  readonly gpu_type: string | null;
  readonly gpu_seconds: string | null;
  readonly exclusive_group: string | null;
  readonly flagship: boolean;
  readonly created_at: Date;
  readonly amended_at: Date | null;
}

export const proposalColumns = `id, round_id, kind, state, lab_id, proposed_by, version, title, body, suite_id,
  policy_id, gpu_type, gpu_seconds, exclusive_group, flagship, created_at, amended_at`;

export function noSuchProposal(proposalId: string): Refusal {
  return problem('resource.not-found', `There is no proposal ${proposalId}`);
}

export async function findProposal(tx: Tx, proposalId: string): Promise<Result<ProposalRecord, Refusal>> {
  const row = await tx.row<ProposalRecord>(
    `SELECT ${proposalColumns} FROM governance.proposal WHERE id = $1`,
    [proposalId],
  );
  return row === undefined ? err(noSuchProposal(proposalId)) : ok(row);
}

export function viewOfProposal(row: ProposalRecord): ProposalView {
  return {
    proposalId: row.id,
    roundId: row.round_id,
    kind: row.kind,
    state: row.state,
    labId: row.lab_id,
    proposedBy: row.proposed_by,
    title: row.title,
    version: row.version,
    body: proposalBodySchema.parse(row.body),
    suiteId: row.suite_id,
    policyId: row.policy_id,
    gpuType: row.gpu_type,
    gpuSeconds: row.gpu_seconds === null ? null : Number(row.gpu_seconds),
    exclusiveGroup: row.exclusive_group,
    flagship: row.flagship,
    createdAt: row.created_at.toISOString(),
    amendedAt: row.amended_at?.toISOString() ?? null,
  };
}
