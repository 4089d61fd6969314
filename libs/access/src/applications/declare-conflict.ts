import { ok, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Actor } from '../ports.js';
import { admitTo, type Refusal } from './application-store.js';

/** Takes a reviewer or member of the secretariat out of an application for good; a review not yet given goes too. */
@Injectable()
export class DeclareConflict {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(actor: Actor, applicationId: string, reason: string): Promise<Result<void, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['reviewer', 'secretariat']);
      if (!admitted.ok) return admitted;
      await tx.rows(
        `INSERT INTO access.conflict_of_interest (application_id, person_id, reason) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING`,
        [applicationId, actor.personId, reason],
      );
      await tx.changed(
        'DELETE FROM access.review WHERE application_id = $1 AND reviewer_id = $2 AND outcome IS NULL',
        [applicationId, actor.personId],
      );
      await tx.audit({
        actor: actor.personId,
        action: 'application.declare-conflict',
        subject: applicationId,
        details: {},
      });
      return ok(undefined);
    });
  }
}
