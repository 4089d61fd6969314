import type { Decision, Scope, UnitAmount } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { withinPatterns } from '../domain/application/model-pattern.js';
import { Policies, recommendationsNeeded } from '../metering/policies.js';
import type { Actor } from '../ports.js';
import { type Application, admitTo, type Refusal, transition } from './application-store.js';

export interface GivenDecision {
  readonly outcome: 'award' | 'reject';
  readonly reason: string;
  readonly granted?: readonly UnitAmount[] | undefined;
  readonly scopes?: readonly Scope[] | undefined;
  readonly models?: readonly string[] | undefined;
  readonly endsAt?: string | undefined;
}

/** Awards all or part of what was applied for, with the recommendations that its size and the policies ask for. */
@Injectable()
export class DecideApplication {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Policies) private readonly policies: Policies,
  ) {}

  async execute(
    actor: Actor,
    applicationId: string,
    given: GivenDecision,
  ): Promise<Result<Application, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['secretariat']);
      if (!admitted.ok) return admitted;
      const { application } = admitted.value;
      const decision = decisionOf(application, given, actor);
      if (!decision.ok) return decision;
      if (given.outcome === 'award') {
        const reviewed = await this.reviewedEnough(tx, application, decision.value);
        if (!reviewed.ok) return reviewed;
      }
      return transition(tx, application, {
        action: given.outcome,
        to: given.outcome === 'award' ? 'awarded' : 'rejected',
        actor: actor.personId,
        reason: given.reason,
        decision: decision.value,
      });
    });
  }

  private async reviewedEnough(
    tx: Tx,
    application: Application,
    decision: Decision,
  ): Promise<Result<void, Refusal>> {
    const counted = await tx.row<{ labs: string }>(
      `SELECT count(DISTINCT lab_id) AS labs FROM access.review WHERE application_id = $1 AND outcome = 'award'`,
      [application.applicationId],
    );
    const labs = Number(counted?.labs ?? 0);
    const byPolicy = recommendationsNeeded(await this.policies.inForce(tx), {
      scopes: decision.scopes,
      models: decision.models,
      labId: application.labId,
    });
    const needed = Math.max(application.tier === 'large' ? 1 : 0, byPolicy.labs);
    if (labs >= needed) return ok(undefined);
    const why =
      byPolicy.labs === needed && byPolicy.policyId !== null ? `the policy ${byPolicy.policyId}` : 'its size';
    return err(
      problem(
        'access.review-missing',
        `To award this, reviewers of ${needed} other ${needed === 1 ? 'lab' : 'labs'} must recommend it, as ${why} asks; so far ${labs} did`,
        { needed, recommended: labs, policyId: byPolicy.policyId },
      ),
    );
  }
}

/** What is decided, never more than what was asked for. */
function decisionOf(application: Application, given: GivenDecision, actor: Actor): Result<Decision, Refusal> {
  const award = given.outcome === 'award';
  const granted = award ? (given.granted ?? application.requested) : [];
  const scopes = given.scopes ?? application.scopes;
  const models = given.models ?? application.models;
  const endsAt = new Date(given.endsAt ?? application.endsAt);
  for (const { unit, amount } of granted) {
    const asked = application.requested.find((one) => one.unit === unit)?.amount ?? 0;
    if (amount > asked) {
      return err(
        problem('limit.exceeded', `${amount} ${unit} are more than the ${asked} applied for`, {
          unit,
          asked,
        }),
      );
    }
  }
  const extra = scopes.filter((scope) => !application.scopes.includes(scope));
  if (extra.length > 0) {
    return err(problem('limit.exceeded', `The scope ${extra.join(', ')} was not applied for`));
  }
  if (!withinPatterns(models, application.models)) {
    return err(problem('limit.exceeded', 'These models were not all applied for'));
  }
  if (endsAt <= application.startsAt || endsAt > application.endsAt) {
    return err(problem('limit.exceeded', 'The end lies outside the period applied for'));
  }
  if (award && endsAt <= new Date()) {
    return err(problem('limit.exceeded', 'The period applied for is over; it cannot be awarded'));
  }
  return ok({
    outcome: given.outcome,
    reason: given.reason,
    decidedBy: actor.personId,
    decidedAt: new Date().toISOString(),
    granted: [...granted],
    scopes: [...scopes],
    models: [...models],
    startsAt: application.startsAt.toISOString(),
    endsAt: endsAt.toISOString(),
  });
}
