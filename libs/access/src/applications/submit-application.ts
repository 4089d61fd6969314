import type { Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Actor } from '../ports.js';
import { type Application, admitTo, type Refusal, transition } from './application-store.js';

/** Submits a draft, or a rejected application once more: the appeal keeps its reviews and its history. */
@Injectable()
export class SubmitApplication {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  async execute(actor: Actor, applicationId: string, reason?: string): Promise<Result<Application, Refusal>> {
    return this.transactor.run(async (tx) => {
      const admitted = await admitTo(tx, actor, applicationId, ['applicant']);
      if (!admitted.ok) return admitted;
      const { application } = admitted.value;
      const action = application.state === 'rejected' ? 'appeal' : 'submit';
      return transition(tx, application, { action, to: 'submitted', actor: actor.personId, reason });
    });
  }
}
