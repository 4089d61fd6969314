import { err, type LabId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { labAccount } from '../domain/ledger/account-owner.js';
import type { LedgerProblem } from '../domain/ledger/ledger-command.js';
import { Ledger } from '../ledger/ledger.js';
import type { Actor } from '../ports.js';
import { gpuSeconds, openGpuAccount } from './gpu-accounts.js';

export interface Loan {
  /** Made by the client: the same loan sent again is booked once. */
  readonly loanId: string;
  readonly labId: LabId | string;
  readonly gpuSeconds: number;
  readonly reason: string;
}

/** Books GPU-seconds that a lab gives for serving and evaluating, outside any round. */
@Injectable()
export class LendToOperations {
  constructor(
    @Inject(Ledger) private readonly ledger: Ledger,
    @Inject(Transactor) private readonly transactor: Transactor,
  ) {}

  async execute(
    actor: Actor,
    loan: Loan,
  ): Promise<Result<{ available: number }, LedgerProblem | Problem<'auth.forbidden'>>> {
    const lends = actor.memberships.some(
      ({ labId, role }) => role === 'secretariat' || (role === 'delegate' && labId === loan.labId),
    );
    if (!lends)
      return err(problem('auth.forbidden', 'Only its delegate or the secretariat lends what a lab has'));
    return this.transactor.run(async (tx) => {
      const lab = labAccount(loan.labId);
      const movement = {
        unit: gpuSeconds,
        amount: loan.gpuSeconds,
        reference: loan.loanId,
        actor: actor.personId,
        details: { reason: loan.reason },
      } as const;
      const outcomes = await this.ledger.apply(
        [
          openGpuAccount(lab, 'consortium', actor.personId),
          openGpuAccount('operations', 'consortium', actor.personId),
          { kind: 'transfer', id: `loan/${loan.loanId}`, from: 'issuer', to: lab, ...movement },
          { kind: 'transfer', id: `lent/${loan.loanId}`, from: lab, to: 'operations', ...movement },
        ],
        tx,
      );
      for (const outcome of outcomes) if (!outcome.ok) return outcome;
      const operations = await this.ledger.balance(gpuSeconds, 'operations', tx);
      return ok({ available: operations?.available ?? 0 });
    });
  }
}
