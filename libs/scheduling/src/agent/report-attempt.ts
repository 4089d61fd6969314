import type { ProblemCode } from '@beamtime/contracts';
import { isTerminal, move, ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type AttemptState, attemptLifecycle, isHeld } from '../domain/attempt-lifecycle.js';
import { EndAttempt } from '../end-attempt.js';
import { appendHistory } from '../postgres/job-records.js';
import { type AttemptClaim, type HeldAttempt, holdAttempt } from './fence.js';

export interface AttemptReport {
  readonly state: 'staging' | 'running' | 'finalizing' | 'succeeded' | 'failed' | 'cancelled' | 'preempted';
  readonly reason: string | null;
  readonly exitCode: number | null;
  readonly retriable: boolean;
}

/** On the way an attempt only goes forward: an old message that comes late changes nothing. */
const order: readonly AttemptState[] = ['offered', 'accepted', 'staging', 'running', 'finalizing'];

/** An agent says how far an attempt has come. The same report again is harmless. */
@Injectable()
export class ReportAttempt {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
  ) {}

  execute(claim: AttemptClaim, report: AttemptReport): Promise<Result<void, Problem<ProblemCode>>> {
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim, (state) => isHeld(state) || state === report.state);
      if (!held.ok) return held;
      const { attempt } = held.value;
      const late = order.includes(report.state) && order.indexOf(report.state) < order.indexOf(attempt.state);
      if (attempt.state === report.state || late) return ok(undefined);
      const moved = move(attemptLifecycle, `attempt ${claim.attempt}`, attempt.state, report.state);
      if (!moved.ok) return moved;
      await this.apply(tx, claim, held.value, report);
      return ok(undefined);
    });
  }

  private async apply(tx: Tx, claim: AttemptClaim, held: HeldAttempt, report: AttemptReport): Promise<void> {
    const { job, attempt } = held;
    const { state } = report;
    if (isTerminal(attemptLifecycle, state)) {
      await this.endAttempt.end(tx, job, attempt, {
        state: state as 'succeeded' | 'failed' | 'cancelled' | 'preempted',
        reason: report.reason,
        exitCode: report.exitCode,
        retriable: report.retriable,
        actor: claim.clusterId,
      });
      return;
    }
    await tx.rows(
      `UPDATE scheduling.attempt SET state = $3,
         running_at = CASE WHEN $3 IN ('running', 'finalizing') THEN coalesce(running_at, now()) ELSE running_at END
       WHERE job_id = $1 AND number = $2`,
      [job.id, attempt.number, state],
    );
    await tx.rows('UPDATE scheduling.job SET updated_at = now() WHERE id = $1', [job.id]);
    await appendHistory(tx, {
      jobId: job.id,
      attempt: attempt.number,
      subject: 'attempt',
      from: attempt.state,
      to: state,
      actor: claim.clusterId,
      reason: report.reason,
    });
  }
}
