import type { ProblemCode } from '@beamtime/contracts';
import { err, isTerminal, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AgentBell } from '../agent-bell.js';
import { jobLifecycle } from '../domain/job-lifecycle.js';
import { appendHistory, findAttempt, type JobRecord, lockJob } from '../postgres/job-records.js';
import { EndAttempt } from './end-attempt.js';

export interface Cancellation {
  readonly jobId: string;
  readonly reason: string;
  readonly actor: string;
  /** Whether the caller may; asked with the job at hand. */
  readonly allowed: (job: JobRecord) => boolean;
}

/**
 * Cancels a job: at once while it waits or is only offered, otherwise the agent is told to stop it. A job that has
 * ended stays as it is, and one that succeeds before the agent hears of it has succeeded.
 */
@Injectable()
export class CancelJob {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
    @Inject(AgentBell) private readonly bell: AgentBell,
  ) {}

  async execute(wish: Cancellation): Promise<Result<void, Problem<ProblemCode>>> {
    const told = await this.transactor.run<string | null, Problem<ProblemCode>>(async (tx) => {
      const job = await lockJob(tx, wish.jobId);
      if (job === undefined) return err(problem('resource.not-found', `There is no job ${wish.jobId}`));
      if (!wish.allowed(job)) {
        return err(
          problem(
            'auth.forbidden',
            'Only its submitter, an operator or delegate of its lab, or the secretariat may cancel a job',
          ),
        );
      }
      return ok(isTerminal(jobLifecycle, job.state) ? null : await this.cancel(tx, job, wish));
    });
    if (!told.ok) return told;
    if (told.value !== null) this.bell.ring(told.value);
    return ok(undefined);
  }

  /** Answers the cluster whose agent has to hear of it, if any. */
  private async cancel(tx: Tx, job: JobRecord, wish: Cancellation): Promise<string | null> {
    if (job.cancel_requested_at !== null) return null;
    await tx.rows(
      `UPDATE scheduling.job SET cancel_requested_at = now(), cancel_reason = $2, cancel_actor = $3, updated_at = now()
       WHERE id = $1`,
      [job.id, wish.reason, wish.actor],
    );
    const wished = { ...job, cancel_requested_at: new Date(), cancel_reason: wish.reason };
    if (job.state === 'queued') {
      await this.endAttempt.endJob(tx, wished, 'cancelled', wish.reason, wish.actor);
      return null;
    }
    const attempt = await findAttempt(tx, job.id, job.attempts);
    if (attempt?.state === 'offered') {
      await this.endAttempt.end(tx, wished, attempt, {
        state: 'cancelled',
        reason: wish.reason,
        exitCode: null,
        retriable: false,
        actor: wish.actor,
      });
      return attempt.cluster_id;
    }
    await appendHistory(tx, {
      jobId: job.id,
      attempt: job.attempts,
      subject: 'note',
      from: null,
      to: 'cancel-requested',
      actor: wish.actor,
      reason: wish.reason,
    });
    return attempt?.cluster_id ?? null;
  }
}
