import type { ProblemCode } from '@beamtime/contracts';
import { err, ok, type Problem, present, problem, type Result, type Unit } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { allocationAccount, personAccount } from '../domain/ledger/account-owner.js';
import { Ledger } from '../ledger/ledger.js';
import type { Actor } from '../ports.js';
import { admitToAllocation } from './allocation-store.js';

export interface PersonShare {
  readonly unit: Unit;
  readonly limit: number | null;
  readonly held: number;
  readonly used: number;
  readonly available: number;
}

/** Limits what one of the people of an allocation may use of it: an account of their own below the allocation's. */
@Injectable()
export class LimitPerson {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Ledger) private readonly ledger: Ledger,
  ) {}

  async execute(
    actor: Actor,
    allocationId: string,
    personId: string,
    share: { readonly unit: Unit; readonly limit: number | null },
  ): Promise<Result<PersonShare, Problem<ProblemCode>>> {
    return this.transactor.run<PersonShare, Problem<ProblemCode>>(async (tx) => {
      const admitted = await admitToAllocation(tx, actor, allocationId, ['owner']);
      if (!admitted.ok) return admitted;
      const { ownerId, memberIds } = admitted.value;
      if (personId !== ownerId && !memberIds.some((memberId) => memberId === personId)) {
        return err(
          problem('resource.not-found', `${personId} does not belong to the allocation ${allocationId}`),
        );
      }
      const owner = personAccount(allocationId, personId);
      const parent = allocationAccount(allocationId);
      const { unit, limit } = share;
      const outcomes = await this.ledger.apply(
        [
          { kind: 'open', unit, owner, accountKind: 'share', parent, actor: actor.personId },
          { kind: 'adjust', unit, owner, limit, actor: actor.personId },
        ],
        tx,
      );
      for (const outcome of outcomes) if (!outcome.ok) return outcome;
      const account = present(await this.ledger.balance(unit, owner, tx), 'the account just opened');
      const { held, used, available } = account;
      return ok({ unit, limit, held, used, available: available ?? 0 });
    });
  }
}
