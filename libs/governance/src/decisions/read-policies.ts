import { type PolicyRule, policyRuleSchema } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Refusal } from '../postgres/rounds.js';

export interface PolicyView {
  readonly policyId: string;
  readonly roundId: string;
  readonly proposalId: string;
  readonly title: string;
  readonly rule: PolicyRule;
  readonly state: 'in-force' | 'replaced';
  readonly adoptedAt: string;
  readonly endedAt: string | null;
}

interface PolicyRecord {
  id: string;
  round_id: string;
  proposal_id: string;
  title: string;
  rule: unknown;
  state: PolicyView['state'];
  adopted_at: Date;
  ended_at: Date | null;
}

const columns = 'id, round_id, proposal_id, title, rule, state, adopted_at, ended_at';

/** Reads the policies that the consortium adopted. */
@Injectable()
export class ReadPolicies {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async list(onlyInForce: boolean): Promise<PolicyView[]> {
    const rows = await this.transactor.read.rows<PolicyRecord>(
      `SELECT ${columns} FROM governance.policy WHERE NOT $1::boolean OR state = 'in-force' ORDER BY id DESC`,
      [onlyInForce],
    );
    return rows.map(viewOf);
  }

  async one(policyId: string): Promise<Result<PolicyView, Refusal>> {
    const row = await this.transactor.read.row<PolicyRecord>(
      `SELECT ${columns} FROM governance.policy WHERE id = $1`,
      [policyId],
    );
    return row === undefined
      ? err(problem('resource.not-found', `There is no policy ${policyId}`))
      : ok(viewOf(row));
  }
}

function viewOf(row: PolicyRecord): PolicyView {
  return {
    policyId: row.id,
    roundId: row.round_id,
    proposalId: row.proposal_id,
    title: row.title,
    rule: policyRuleSchema.parse(row.rule),
    state: row.state,
    adoptedAt: row.adopted_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
