import { err, ok, present, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Actor } from '../ports.js';
import { admitTo, type Refusal, transition } from './application-store.js';
import { type Review, reviewSelect } from './read-applications.js';
import { stillReviewable } from './take-review.js';

export interface Recommendation {
  readonly outcome: 'award' | 'reject';
  readonly score: number;
  readonly text: string;
}

/** Records what a reviewer recommends, once. */
@Injectable()
export class Recommend {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(
    actor: Actor,
    applicationId: string,
    given: Recommendation,
  ): Promise<Result<Review, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['reviewer']);
      if (!admitted.ok) return admitted;
      const { application } = admitted.value;
      const open = stillReviewable(application);
      if (!open.ok) return open;
      const changed = await tx.changed(
        `UPDATE access.review SET outcome = $3, score = $4, body = $5, recommended_at = now()
         WHERE application_id = $1 AND reviewer_id = $2 AND outcome IS NULL`,
        [applicationId, actor.personId, given.outcome, given.score, given.text],
      );
      const review = await tx.row<Review>(`${reviewSelect} WHERE application_id = $1 AND reviewer_id = $2`, [
        applicationId,
        actor.personId,
      ]);
      if (changed === 0) {
        return review === undefined
          ? err(problem('auth.forbidden', 'Take on the review of this application first'))
          : err(problem('state.conflict', 'You have given your recommendation already'));
      }
      if (application.state === 'in-review') {
        const moved = await transition(tx, application, {
          action: 'recommend',
          to: 'recommended',
          actor: actor.personId,
        });
        if (!moved.ok) return moved;
      }
      await tx.audit({
        actor: actor.personId,
        action: 'review.recommend',
        subject: applicationId,
        details: { outcome: given.outcome, score: given.score },
      });
      return ok(present(review, 'the review just written'));
    });
  }
}
