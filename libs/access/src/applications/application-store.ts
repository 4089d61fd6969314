import type { Decision, ProblemCode, Scope, UnitAmount } from '@beamtime/contracts';
import {
  type ApplicationId,
  err,
  type LabId,
  move,
  ok,
  type PersonId,
  type Problem,
  problem,
  type Result,
  statesBefore,
} from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { type ApplicationState, applicationTransitions } from '../domain/application/application-state.js';
import { type Parties, type Relation, relationTo } from '../domain/application/relation.js';
import type { Tier } from '../domain/application/tier.js';
import type { Actor } from '../ports.js';

export interface Application {
  readonly applicationId: ApplicationId;
  readonly labId: LabId;
  readonly applicantId: PersonId;
  readonly coApplicants: readonly { readonly personId: string; readonly labIds: readonly string[] }[];
  readonly title: string;
  readonly purpose: string;
  readonly models: readonly string[];
  readonly scopes: readonly Scope[];
  readonly requested: readonly UnitAmount[];
  readonly startsAt: Date;
  readonly endsAt: Date;
  readonly tier: Tier;
  readonly state: ApplicationState;
  readonly decision: Decision | null;
  readonly allocationId: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly declaredConflicts: readonly string[];
}

export const applicationSelect = `
  SELECT a.id AS "applicationId", a.lab_id AS "labId", a.applicant_id AS "applicantId",
    a.co_applicants AS "coApplicants", a.title, a.purpose, a.models, a.scopes, a.requested,
    a.starts_at AS "startsAt", a.ends_at AS "endsAt", a.tier, a.state, a.decision,
    a.created_at AS "createdAt", a.updated_at AS "updatedAt",
    (SELECT id FROM access.allocation WHERE application_id = a.id) AS "allocationId",
    ARRAY(SELECT person_id FROM access.conflict_of_interest WHERE application_id = a.id) AS "declaredConflicts"
  FROM access.application a`;

export type Refusal = Problem<ProblemCode>;
export type Admitted<Kind extends Relation['kind']> = {
  readonly application: Application;
  readonly relation: Extract<Relation, { kind: Kind }>;
};

const notFound = (applicationId: string) =>
  err(problem('resource.not-found', `There is no application ${applicationId}`));

/**
 * The application, if the actor may deal with it in one of these capacities. The one door to every use case: a
 * conflict of interest is refused here, whatever was to be done.
 */
export async function admitTo<Kind extends Relation['kind']>(
  tx: Tx,
  actor: Actor,
  applicationId: string,
  as: readonly Kind[],
  lock: 'FOR UPDATE' | '' = 'FOR UPDATE',
): Promise<Result<Admitted<Kind>, Refusal>> {
  if (lock !== '') {
    await tx.row('SELECT id FROM access.application WHERE id = $1 FOR UPDATE', [applicationId]);
  }
  const application = await tx.row<Application>(`${applicationSelect} WHERE a.id = $1`, [applicationId]);
  if (application === undefined) return notFound(applicationId);
  const relation = relationTo(partiesOf(application), actor);
  if (relation.kind === 'conflicted') {
    return err(
      problem('access.conflict-of-interest', `You may not see or judge this application: ${relation.why}`),
    );
  }
  // A draft is between those who write it.
  const drafted = application.state === 'draft' && !['applicant', 'co-applicant'].includes(relation.kind);
  if (drafted) return notFound(applicationId);
  if (!(as as readonly string[]).includes(relation.kind)) {
    // To judge one's own application is a conflict too, and says so.
    const own = relation.kind === 'applicant' || relation.kind === 'co-applicant';
    return own && (as as readonly string[]).some((kind) => kind === 'reviewer' || kind === 'secretariat')
      ? err(problem('access.conflict-of-interest', 'You may not judge your own application'))
      : err(
          problem('auth.forbidden', `Only ${as.join(' or ')} may do this with application ${applicationId}`),
        );
  }
  return ok({ application, relation: relation as Admitted<Kind>['relation'] });
}

export function partiesOf(application: Application): Parties {
  return {
    labId: application.labId,
    applicantId: application.applicantId,
    coApplicants: application.coApplicants,
    declaredConflicts: application.declaredConflicts,
  };
}

export interface Transition {
  readonly action: string;
  readonly to: ApplicationState;
  readonly actor: PersonId;
  readonly reason?: string | undefined;
  readonly decision?: Decision;
}

/** Moves an application by the table, with its event and audit entry. */
export async function transition(
  tx: Tx,
  application: Application,
  step: Transition,
): Promise<Result<Application, Refusal>> {
  const moved = move(applicationTransitions, 'The application', application.state, step.to);
  if (!moved.ok) return moved;
  const before = statesBefore(applicationTransitions, step.to);
  const changed = await tx.changed(
    `UPDATE access.application SET state = $2, decision = coalesce($3::jsonb, decision), updated_at = now()
     WHERE id = $1 AND state = ANY ($4)`,
    [
      application.applicationId,
      step.to,
      step.decision === undefined ? null : JSON.stringify(step.decision),
      before,
    ],
  );
  if (changed === 0)
    return err(problem('state.conflict', 'Somebody else changed the application; look again'));
  await noteEvent(tx, application.applicationId, { ...step, from: application.state });
  return ok({ ...application, state: step.to, decision: step.decision ?? application.decision });
}

/** Appends to the history of an application, and to the audit log. */
export async function noteEvent(
  tx: Tx,
  applicationId: string,
  event: Omit<Transition, 'decision'> & { readonly from: ApplicationState | null },
): Promise<void> {
  await tx.rows(
    `INSERT INTO access.application_event (application_id, action, from_state, to_state, actor, reason)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [applicationId, event.action, event.from, event.to, event.actor, event.reason ?? null],
  );
  await tx.audit({
    actor: event.actor,
    action: `application.${event.action}`,
    subject: applicationId,
    details: { from: event.from, to: event.to },
  });
}
