import { openApplicationsAtMost, type Scope, type UnitAmount } from '@beamtime/contracts';
import { err, type LabId, ok, present, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { tierOf } from '../domain/application/tier.js';
import { type Actor, PEOPLE, type People } from '../ports.js';
import {
  type Application,
  applicationSelect,
  noteEvent,
  type Refusal,
  transition,
} from './application-store.js';

export interface ApplicationForm {
  readonly title: string;
  readonly purpose: string;
  readonly coApplicantIds: readonly string[];
  readonly models: readonly string[];
  readonly scopes: readonly Scope[];
  readonly requested: readonly UnitAmount[];
  readonly startsAt?: string | undefined;
  readonly endsAt: string;
}

/** Roles in a lab that may apply in its name. */
const applyingRoles = ['researcher', 'delegate', 'deputy'];

/** Writes an application in the name of the applicant's lab, and submits it unless it stays a draft. */
@Injectable()
export class Apply {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(PEOPLE) private readonly people: People,
  ) {}

  async execute(
    actor: Actor,
    form: ApplicationForm & { readonly labId?: string | undefined; readonly submit: boolean },
  ): Promise<Result<Application, Refusal>> {
    const lab = labOf(actor, form.labId);
    if (!lab.ok) return lab;
    const now = new Date();
    const startsAt = form.startsAt === undefined ? now : new Date(form.startsAt);
    const endsAt = new Date(form.endsAt);
    if (endsAt <= startsAt || endsAt <= now) {
      return err(problem('request.invalid', 'The end comes after the start, and after today'));
    }
    return this.transactor.run(async (tx) => {
      const open = await tx.row<{ count: string }>(
        `SELECT count(*) FROM access.application
         WHERE applicant_id = $1 AND state NOT IN ('accepted', 'rejected', 'withdrawn')`,
        [actor.personId],
      );
      if (Number(open?.count) >= openApplicationsAtMost) {
        return err(
          problem('limit.exceeded', `You have ${openApplicationsAtMost} open applications; withdraw one`),
        );
      }
      const coApplicants = await describeCoApplicants(tx, this.people, actor, form.coApplicantIds);
      if (!coApplicants.ok) return coApplicants;
      const id = newId('Application');
      await tx.rows(
        `INSERT INTO access.application
           (id, lab_id, applicant_id, title, purpose, co_applicants, models, scopes, requested, starts_at, ends_at, tier)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
        [
          id,
          lab.value,
          actor.personId,
          form.title,
          form.purpose,
          JSON.stringify(coApplicants.value),
          form.models,
          form.scopes,
          JSON.stringify(form.requested),
          startsAt,
          endsAt,
          tierOf(form.requested),
        ],
      );
      await noteEvent(tx, id, { action: 'draft', from: null, to: 'draft', actor: actor.personId });
      const draft = present(
        await tx.row<Application>(`${applicationSelect} WHERE a.id = $1`, [id]),
        'the application just written',
      );
      if (!form.submit) return ok(draft);
      return transition(tx, draft, { action: 'submit', to: 'submitted', actor: actor.personId });
    });
  }
}

function labOf(actor: Actor, wanted: string | undefined): Result<LabId, Refusal> {
  const labs = [
    ...new Set(
      actor.memberships.flatMap(({ labId, role }) =>
        labId !== null && applyingRoles.includes(role) ? [labId] : [],
      ),
    ),
  ];
  const [only] = labs;
  if (wanted !== undefined) {
    const lab = labs.find((labId) => labId === wanted);
    return lab === undefined
      ? err(problem('auth.forbidden', `You are no researcher or delegate of ${wanted}`))
      : ok(lab);
  }
  if (only === undefined)
    return err(problem('auth.forbidden', 'You are no researcher or delegate of any lab'));
  if (labs.length > 1) {
    return err(
      problem('request.invalid', `You belong to several labs; say in whose name with labId`, { labs }),
    );
  }
  return ok(only);
}

/** Co-applicants with their labs at this time: what conflicts of interest are found by. */
export async function describeCoApplicants(
  tx: Tx,
  people: People,
  actor: Actor,
  personIds: readonly string[],
): Promise<Result<{ personId: string; labIds: string[] }[], Refusal>> {
  const described: { personId: string; labIds: string[] }[] = [];
  for (const personId of new Set(personIds)) {
    if (personId === actor.personId) continue;
    const memberships = await people.membershipsOf(tx, personId);
    if (memberships === undefined) {
      return err(problem('resource.not-found', `The co-applicant ${personId} is not known here`));
    }
    const labIds = memberships.flatMap(({ labId }) => (labId === null ? [] : [labId]));
    described.push({ personId, labIds: [...new Set(labIds)] });
  }
  return ok(described);
}
