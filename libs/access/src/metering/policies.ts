import {
  type FactOf,
  type ModelSelector,
  type PolicyInForce,
  type PolicyRule,
  policyRuleSchema,
  type Scope,
} from '@beamtime/contracts';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';

export interface AdoptedPolicy extends PolicyInForce {
  readonly roundId: string;
  readonly adoptedAt: Date;
}

/** The guardrails that votes adopted and that bind access now. */
@Injectable()
export class Policies {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async adopt(tx: Tx, fact: FactOf<'policy.adopted'>, at: Date): Promise<void> {
    // A rule that this version cannot read must not be passed over in silence: the fact is parked and reported.
    const rule: PolicyRule = policyRuleSchema.parse(fact.rule);
    await tx.rows(
      `INSERT INTO access.policy (policy_id, round_id, rule, adopted_at) VALUES ($1, $2, $3, $4)
       ON CONFLICT (policy_id) DO NOTHING`,
      [fact.policyId, fact.roundId, JSON.stringify(rule), at],
    );
    await tx.audit({ actor: fact.roundId, action: 'policy.bind', subject: fact.policyId, details: { rule } });
  }

  async end(tx: Tx, fact: FactOf<'policy.ended'>, at: Date): Promise<void> {
    const ended = await tx.changed(
      'UPDATE access.policy SET ended_at = $2 WHERE policy_id = $1 AND ended_at IS NULL',
      [fact.policyId, at],
    );
    if (ended > 0) {
      await tx.audit({ actor: fact.roundId, action: 'policy.end', subject: fact.policyId, details: {} });
    }
  }

  async inForce(tx: Tx = this.transactor.read): Promise<AdoptedPolicy[]> {
    return tx.rows<AdoptedPolicy>(
      `SELECT policy_id AS "policyId", round_id AS "roundId", rule, adopted_at AS "adoptedAt"
       FROM access.policy WHERE ended_at IS NULL ORDER BY adopted_at, policy_id`,
    );
  }
}

/**
 * How many labs must recommend an application for these scopes on these models before it may be awarded. The models
 * are patterns here, so a rule counts when it could cover one of them.
 */
export function recommendationsNeeded(
  policies: readonly PolicyInForce[],
  application: {
    readonly scopes: readonly Scope[];
    readonly models: readonly string[];
    readonly labId: string;
  },
): { readonly policyId: string | null; readonly labs: number } {
  let needed = { policyId: null as string | null, labs: 0 };
  for (const { policyId, rule } of policies) {
    if (rule.kind !== 'require-reviews' || !application.scopes.includes(rule.scope)) continue;
    if (rule.exceptLabs.includes(application.labId)) continue;
    if (!application.models.some((pattern) => mayCover(rule.models, pattern))) continue;
    if (rule.recommendations > needed.labs) needed = { policyId, labs: rule.recommendations };
  }
  return needed;
}

function mayCover(selector: ModelSelector, pattern: string): boolean {
  const named = pattern.startsWith('mdl_')
    ? selector.modelIds
    : pattern.startsWith('sui_')
      ? selector.suiteIds
      : undefined;
  return named === undefined || named.includes(pattern);
}
