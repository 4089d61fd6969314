import type { GpuAccountRef, ProblemCode } from '@beamtime/contracts';
import {
  err,
  invariant,
  type JobId,
  ok,
  type Problem,
  present,
  problem,
  type Result,
} from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { AccountOwner } from '../domain/ledger/account-owner.js';
import { commandsPerBatchAtMost } from '../ledger/apply-commands.js';
import { Ledger } from '../ledger/ledger.js';
import { whole } from '../ledger/read-accounts.js';
import { booksActor, gpuAccountOwner, gpuSeconds, mustSucceed } from './gpu-accounts.js';

export interface JobHold {
  readonly jobId: JobId;
  readonly account: GpuAccountRef;
  readonly gpuSeconds: number;
}

export interface JobUse {
  readonly jobId: JobId;
  readonly usedGpuSeconds: number;
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

  async settle(tx: Tx, job: JobUse): Promise<JobSettlement> {
    return present((await this.settleAll(tx, [job]))[0], 'the settlement of a job');
  }

  /** Many jobs at once, each settled once however often it is told; answers in their order. */
  async settleAll(tx: Tx, jobs: readonly JobUse[]): Promise<JobSettlement[]> {
    if (jobs.length === 0) return [];
    const rows = await tx.rows<{ id: string; account: AccountOwner; amount: string; posted: string | null }>(
      'SELECT id, account, amount, posted FROM access.hold WHERE id = ANY ($1)',
      [jobs.map((job) => holdOf(job.jobId))],
    );
    const holds = new Map(rows.map((row) => [row.id, row]));
    const settled = jobs.map(({ jobId, usedGpuSeconds }) => {
      const hold = holds.get(holdOf(jobId));
      invariant(hold !== undefined, `job ${jobId} is settled without a hold`);
      const held = whole(hold.amount);
      const used = Math.ceil(usedGpuSeconds);
      const isNew = hold.posted === null;
      const posted = hold.posted === null ? Math.min(used, held) : whole(hold.posted);
      return { jobId, account: hold.account, isNew, held, used, posted };
    });
    const fresh = settled.filter((one) => one.isNew);
    for (let at = 0; at < fresh.length; at += commandsPerBatchAtMost) {
      const commands = fresh.slice(at, at + commandsPerBatchAtMost).map(({ jobId, posted }) => ({
        kind: 'settle' as const,
        outcome: 'post' as const,
        hold: holdOf(jobId),
        amount: posted,
        actor: booksActor,
      }));
      mustSucceed(await this.ledger.apply(commands, tx));
    }
    const over = new Map<JobId, number>();
    for (const { jobId, account, used, held } of fresh) {
      if (used > held) over.set(jobId, await this.chargeOverrun(tx, jobId, account, used - held));
    }
    // One transfer empties an account, whichever of its jobs brings it about.
    const lastOf = new Map(fresh.map(({ account, jobId }) => [account, jobId] as const));
    for (const [account, jobId] of lastOf) await this.passOnFromClosed(tx, jobId, account);
    return settled.map(({ jobId, isNew, held, used, posted }) => {
      const covered = over.get(jobId) ?? 0;
      return {
        posted: posted + covered,
        returned: held - posted,
        uncovered: isNew ? used - posted - covered : 0,
      };
    });
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
