import type { GpuAccountRef, ProblemCode } from '@beamtime/contracts';
import { err, invariant, type JobId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { AccountOwner } from '../domain/ledger/account-owner.js';
import { Ledger } from '../ledger/ledger.js';
import { whole } from '../ledger/read-accounts.js';
import { booksActor, gpuAccountOwner, gpuSeconds, mustSucceed } from './gpu-accounts.js';

export interface JobHold {
  readonly jobId: JobId;
  readonly account: GpuAccountRef;
  readonly gpuSeconds: number;
}

export interface JobSettlement {
  readonly posted: number;
  readonly returned: number;
  /** Used beyond the hold and not covered by the account: nobody pays it, and the audit log says so. */
  readonly uncovered: number;
}

const holdOf = (jobId: JobId) => `job/${jobId}`;

/**
 * GPU-seconds of jobs: held when a job is submitted, posted when it has ended, in the transaction of whoever runs
 * jobs. The job's id makes both calls repeatable. Such a hold does not expire: a job may wait and run for weeks, and
 * its row, in the same database, is sure to end.
 */
@Injectable()
export class ChargeJobs {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  async hold(tx: Tx, job: JobHold): Promise<Result<void, Problem<ProblemCode>>> {
    const held = await this.ledger.hold(
      {
        id: holdOf(job.jobId),
        unit: gpuSeconds,
        account: gpuAccountOwner(job.account),
        amount: job.gpuSeconds,
        ttlMs: null,
        reference: job.jobId,
        actor: booksActor,
      },
      tx,
    );
    if (held.ok) return ok(undefined);
    const { code, detail, facts } = held.error;
    if (code === 'access.insufficient-units') {
      return err(problem('scheduling.insufficient-reservation', detail, facts));
    }
    if (code === 'resource.not-found') {
      const why = `${gpuAccountOwner(job.account)} has no GPU-seconds yet; a decided round reserves them, and \`beamtime books lend\` fills operations`;
      return err(
        problem('scheduling.insufficient-reservation', why, { available: 0, requested: job.gpuSeconds }),
      );
    }
    return err(held.error);
  }

  async settle(
    tx: Tx,
    job: { readonly jobId: JobId; readonly usedGpuSeconds: number },
  ): Promise<JobSettlement> {
    const hold = await tx.row<{ account: AccountOwner; amount: string; posted: string | null }>(
      'SELECT account, amount, posted FROM access.hold WHERE id = $1',
      [holdOf(job.jobId)],
    );
    invariant(hold !== undefined, `job ${job.jobId} is settled without a hold`);
    const held = whole(hold.amount);
    if (hold.posted !== null) {
      const posted = whole(hold.posted);
      return { posted, returned: held - posted, uncovered: 0 };
    }
    const used = Math.ceil(job.usedGpuSeconds);
    const posted = Math.min(used, held);
    mustSucceed([await this.ledger.post({ hold: holdOf(job.jobId), amount: posted, actor: booksActor }, tx)]);
    const covered = used > held ? await this.chargeOverrun(tx, job.jobId, hold.account, used - held) : 0;
    await this.passOnFromClosed(tx, job.jobId, hold.account);
    return { posted: posted + covered, returned: held - posted, uncovered: used - posted - covered };
  }

  /** A job that used more than it held pays from its account as far as that reaches. */
  private async chargeOverrun(tx: Tx, jobId: JobId, account: AccountOwner, over: number): Promise<number> {
    const available = (await this.ledger.balance(gpuSeconds, account, tx))?.available ?? 0;
    const covered = Math.min(over, available);
    if (covered > 0) {
      const id = `${holdOf(jobId)}/overrun`;
      const charge = {
        unit: gpuSeconds,
        account,
        amount: covered,
        reference: jobId,
        actor: booksActor,
      } as const;
      const held = await this.ledger.hold({ id, ttlMs: null, ...charge }, tx);
      if (!held.ok) return this.noteUncovered(tx, jobId, account, over, 0);
      mustSucceed([await this.ledger.post({ hold: id, amount: covered, actor: booksActor }, tx)]);
    }
    return covered < over ? this.noteUncovered(tx, jobId, account, over, covered) : covered;
  }

  private async noteUncovered(tx: Tx, jobId: JobId, account: AccountOwner, over: number, covered: number) {
    await tx.audit({
      actor: booksActor,
      action: 'ledger.uncovered',
      subject: jobId,
      details: { unit: gpuSeconds, account, amount: over - covered },
    });
    return covered;
  }

  /** The suite was released while this job ran: what the job gives back follows the rest. */
  private async passOnFromClosed(tx: Tx, jobId: JobId, account: AccountOwner): Promise<void> {
    const balance = await this.ledger.balance(gpuSeconds, account, tx);
    if (!account.startsWith('suite:') || balance?.closesAt == null || balance.closesAt > new Date()) return;
    mustSucceed([
      await this.ledger.transfer(
        {
          id: `release/${account}/${jobId}`,
          unit: gpuSeconds,
          from: account,
          to: 'operations',
          reference: jobId,
          actor: booksActor,
        },
        tx,
      ),
    ]);
  }
}
