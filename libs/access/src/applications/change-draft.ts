import { err, present, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { tierOf } from '../domain/application/tier.js';
import { type Actor, PEOPLE, type People } from '../ports.js';
import {
  type Application,
  admitTo,
  applicationSelect,
  noteEvent,
  type Refusal,
} from './application-store.js';
import { type ApplicationForm, describeCoApplicants } from './apply.js';

type Changes = { readonly [K in keyof ApplicationForm]?: ApplicationForm[K] | undefined };

/** Changes a draft; once submitted, what the reviewers read stays as it is. */
@Injectable()
export class ChangeDraft {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(PEOPLE) private readonly people: People,
  ) {}

  async execute(
    actor: Actor,
    applicationId: string,
    changes: Changes,
  ): Promise<Result<Application, Refusal>> {
    return this.transactor.run<Application, Refusal>(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['applicant', 'co-applicant']);
      if (!admitted.ok) return admitted;
      const { application } = admitted.value;
      if (application.state !== 'draft') {
        return err(
          problem('state.illegal-transition', `The application is ${application.state}, no draft any more`),
        );
      }
      const coApplicants =
        changes.coApplicantIds === undefined
          ? null
          : await describeCoApplicants(
              tx,
              this.people,
              { ...actor, personId: application.applicantId },
              changes.coApplicantIds,
            );
      if (coApplicants?.ok === false) return coApplicants;
      const startsAt = new Date(changes.startsAt ?? application.startsAt);
      const endsAt = new Date(changes.endsAt ?? application.endsAt);
      if (endsAt <= startsAt) return err(problem('request.invalid', 'The end comes after the start'));
      const requested = changes.requested ?? application.requested;
      await tx.changed(
        `UPDATE access.application SET title = $2, purpose = $3, co_applicants = $4, models = $5, scopes = $6,
           requested = $7, starts_at = $8, ends_at = $9, tier = $10, updated_at = now() WHERE id = $1`,
        [
          applicationId,
          changes.title ?? application.title,
          changes.purpose ?? application.purpose,
          JSON.stringify(coApplicants?.value ?? application.coApplicants),
          changes.models ?? application.models,
          changes.scopes ?? application.scopes,
          JSON.stringify(requested),
          startsAt,
          endsAt,
          tierOf(requested),
        ],
      );
      await noteEvent(tx, applicationId, {
        action: 'change',
        from: 'draft',
        to: 'draft',
        actor: actor.personId,
      });
      const changed = await tx.row<Application>(`${applicationSelect} WHERE a.id = $1`, [applicationId]);
      return { ok: true, value: present(changed, 'the application just changed') };
    });
  }
}
