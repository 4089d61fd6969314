import { err, type LabId, ok, present, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { reviewableStates } from '../domain/application/application-state.js';
import { relationTo } from '../domain/application/relation.js';
import { type Actor, PEOPLE, type People } from '../ports.js';
import { type Application, admitTo, partiesOf, type Refusal, transition } from './application-store.js';
import { type Review, reviewSelect } from './read-applications.js';

/** Gives the review of an application to a reviewer of another lab: to whoever asks, or whom the secretariat names. */
@Injectable()
export class TakeReview {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(PEOPLE) private readonly people: People,
  ) {}

  async execute(actor: Actor, applicationId: string, reviewerId?: string): Promise<Result<Review, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['reviewer', 'secretariat']);
      if (!admitted.ok) return admitted;
      const { application, relation } = admitted.value;
      const open = stillReviewable(application);
      if (!open.ok) return open;
      const reviewer = await this.reviewerOf(tx, actor, application, reviewerId, relation.kind);
      if (!reviewer.ok) return reviewer;
      const { personId, labId } = reviewer.value;
      const inserted = await tx.rows(
        `INSERT INTO access.review (application_id, reviewer_id, review_id, lab_id, assigned_by)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING review_id`,
        [applicationId, personId, newId('Review'), labId, actor.personId],
      );
      if (inserted.length === 0) {
        return err(problem('resource.exists', `${personId} reviews this application already`));
      }
      if (application.state === 'submitted') {
        const moved = await transition(tx, application, {
          action: 'review',
          to: 'in-review',
          actor: actor.personId,
        });
        if (!moved.ok) return moved;
      } else {
        await tx.audit({
          actor: actor.personId,
          action: 'application.review',
          subject: applicationId,
          details: {},
        });
      }
      const review = await tx.row<Review>(`${reviewSelect} WHERE application_id = $1 AND reviewer_id = $2`, [
        applicationId,
        personId,
      ]);
      return ok(present(review, 'the review just assigned'));
    });
  }

  private async reviewerOf(
    tx: Tx,
    actor: Actor,
    application: Application,
    named: string | undefined,
    as: 'reviewer' | 'secretariat',
  ): Promise<Result<{ personId: string; labId: LabId | string }, Refusal>> {
    if (as === 'secretariat' && named === undefined) {
      return err(problem('request.invalid', 'Name the reviewer with reviewerId'));
    }
    if (as === 'reviewer' && named !== undefined && named !== actor.personId) {
      return err(problem('auth.forbidden', 'Only the secretariat gives a review to somebody else'));
    }
    const personId = named ?? actor.personId;
    const memberships =
      personId === actor.personId ? actor.memberships : await this.people.membershipsOf(tx, personId);
    if (memberships === undefined) return err(problem('resource.not-found', `${personId} is not known here`));
    const relation = relationTo(partiesOf(application), { personId, memberships });
    if (relation.kind === 'conflicted' || relation.kind === 'applicant' || relation.kind === 'co-applicant') {
      return err(
        problem(
          'access.conflict-of-interest',
          `${personId} has a conflict of interest with this application`,
        ),
      );
    }
    const seat = memberships.find(({ role, labId }) => role === 'reviewer' && labId !== null);
    if (!seat?.labId) return err(problem('auth.forbidden', `${personId} is no reviewer of any lab`));
    return ok({ personId, labId: seat.labId });
  }
}

export function stillReviewable(application: Application): Result<void, Refusal> {
  return reviewableStates.includes(application.state)
    ? ok(undefined)
    : err(
        problem(
          'state.illegal-transition',
          `The application is ${application.state}; it is reviewed no more`,
        ),
      );
}
