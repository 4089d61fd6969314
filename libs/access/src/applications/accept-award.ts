import { type AllocationId, err, ok, present, problem, type Result } from '@beamtime/kernel';
import { newId, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { noteAllocationEvent } from '../allocations/allocation-store.js';
import { fundAllocation } from '../allocations/fund-allocation.js';
import { Ledger } from '../ledger/ledger.js';
import type { Actor } from '../ports.js';
import { admitTo, type Refusal, transition } from './application-store.js';

/** The applicant accepts: the allocation, its accounts and grants come to be in one transaction. */
@Injectable()
export class AcceptAward {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Ledger) private readonly ledger: Ledger,
  ) {}

  async execute(actor: Actor, applicationId: string): Promise<Result<AllocationId, Refusal>> {
    return this.transactor.run<AllocationId, Refusal>(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['applicant']);
      if (!admitted.ok) return admitted;
      const { application } = admitted.value;
      const accepted = await transition(tx, application, {
        action: 'accept',
        to: 'accepted',
        actor: actor.personId,
      });
      if (!accepted.ok) return accepted;
      const decision = present(application.decision, 'the decision of an awarded application');
      const startsAt = new Date(decision.startsAt);
      const endsAt = new Date(decision.endsAt);
      if (endsAt <= new Date()) {
        return err(problem('state.illegal-transition', 'The period of this award is over; apply again'));
      }
      const allocationId = newId('Allocation');
      const { labId } = application;
      await tx.rows(
        `INSERT INTO access.allocation
           (id, application_id, lab_id, owner_id, member_ids, title, models, scopes, starts_at, ends_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        [
          allocationId,
          applicationId,
          labId,
          application.applicantId,
          application.coApplicants.map((one) => one.personId),
          application.title,
          decision.models,
          decision.scopes,
          startsAt,
          endsAt,
        ],
      );
      await noteAllocationEvent(tx, allocationId, {
        action: 'activate',
        from: null,
        to: 'active',
        actor: actor.personId,
      });
      const { granted } = decision;
      const grants = fundAllocation({
        allocationId,
        labId,
        granted,
        startsAt,
        endsAt,
        grant: applicationId,
        actor: actor.personId,
      });
      for (const outcome of await this.ledger.apply(grants, tx)) if (!outcome.ok) return outcome;
      await tx.record('allocation.activated', {
        allocationId,
        labId,
        applicantId: application.applicantId,
        scopes: decision.scopes,
        grants: granted,
      });
      return ok(allocationId);
    });
  }
}
