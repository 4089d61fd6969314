import type { Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Actor } from '../ports.js';
import { type Application, admitTo, type Refusal, transition } from './application-store.js';

/** Takes an application back; after an award, this declines it. */
@Injectable()
export class WithdrawApplication {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(actor: Actor, applicationId: string, reason?: string): Promise<Result<Application, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['applicant']);
      if (!admitted.ok) return admitted;
      const { application } = admitted.value;
      const action = application.state === 'awarded' ? 'decline' : 'withdraw';
      return transition(tx, application, { action, to: 'withdrawn', actor: actor.personId, reason });
    });
  }
}
