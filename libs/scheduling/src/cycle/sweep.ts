import { type Leadership, requireEpoch, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { findUnsettled, settleClusterState } from '../clusters/settle-cluster-state.js';
import { doubtSilentCapacity } from '../clusters/trust-capacity.js';
import { heldStates } from '../domain/attempt-lifecycle.js';
import { whyOverdue } from '../domain/deadline.js';
import { CancelJob } from '../jobs/cancel-job.js';
import { type AttemptOutcome, EndAttempt } from '../jobs/end-attempt.js';
import { compactQueueDepth } from '../jobs/queue-depth.js';
import { LEASE_TIMES, type LeaseTimes } from '../ports.js';
import { type AttemptKey, attemptKey, lockAttempts, lockFreeJobs } from '../postgres/job-records.js';

const held = heldStates.map((state) => `'${state}'`).join(', ');
/** Per sweep and transaction; the next one follows within the second. */
const attemptsPerSweep = 200;
/** Back-offs last a second and more; they need no finer clock. */
const tidyEveryMs = 500;
const wokenPerTidying = 1_000;
const overduePerTidying = 200;
/** A cluster that let an offer lapse is left alone with that job for a while. */
const declineMs = 30_000;

/**
 * What passes with time: leases that ran out, offers that nobody took, clusters that fell silent. Run by the leader
 * before each decision; takes no input.
 */
@Injectable()
export class Sweep {
  private tidiedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
    @Inject(CancelJob) private readonly cancelJob: CancelJob,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
  ) {}

  async run(leadership: Leadership): Promise<void> {
    const due = await this.due();
    if (due.length > 0) await this.endAll(leadership, due);
    await this.settleClusters(leadership);
    if (performance.now() - this.tidiedAtMs < tidyEveryMs) return;
    this.tidiedAtMs = performance.now();
    await this.tidy(leadership);
    await this.endOverdue();
  }

  /**
   * Jobs whose deadline is over, as if somebody cancelled them: at once where nothing runs, otherwise the agent is told
   * to stop. A deadline does not change, so a former leader that comes late does what is right, or nothing.
   */
  private async endOverdue(): Promise<void> {
    const overdue = await this.transactor.read.rows<{ id: string; deadline: Date }>(
      `SELECT id, deadline FROM scheduling.job
       WHERE deadline <= now() AND state IN ('queued', 'running') AND cancel_requested_at IS NULL
       ORDER BY deadline LIMIT ${overduePerTidying}`,
    );
    for (const { id, deadline } of overdue) {
      const reason = whyOverdue(deadline.getTime());
      await this.cancelJob.execute({ jobId: id, reason, actor: 'scheduler', allowed: () => true });
    }
  }

  /** Jobs whose back-off is over wait again; declines that are over, and the many rows of the depth, go. */
  private async tidy(leadership: Leadership): Promise<void> {
    await this.transactor.do(async (tx) => {
      await requireEpoch(tx, leadership);
      await tx.rows(
        `UPDATE scheduling.job SET retry_at = NULL WHERE id IN (
           SELECT id FROM scheduling.job WHERE state = 'queued' AND retry_at <= now()
           ORDER BY id LIMIT ${wokenPerTidying} FOR UPDATE SKIP LOCKED)`,
      );
      await tx.rows('DELETE FROM scheduling.decline WHERE until < now()');
      await compactQueueDepth(tx);
    });
  }

  /** Read without a lock; `endAll` looks again under the lock. */
  private due(): Promise<AttemptKey[]> {
    return this.transactor.read.rows(
      `SELECT job_id AS "jobId", number AS attempt FROM scheduling.attempt WHERE ${isDue('$1')}
       ORDER BY job_id LIMIT ${attemptsPerSweep}`,
      [this.times.skewMs],
    );
  }

  private async endAll(leadership: Leadership, due: readonly AttemptKey[]): Promise<void> {
    const unanswered = await this.transactor.do(async (tx) => {
      await requireEpoch(tx, leadership);
      // What an agent has just said of a job is being written: that goes on, and so does the cycle, which looks again.
      const jobs = await lockFreeJobs(
        tx,
        due.map((key) => key.jobId),
      );
      const free = due.filter((key) => jobs.has(key.jobId));
      const attempts = await lockAttempts(tx, free);
      // A lease may have been renewed, or an offer taken, before the locks were ours.
      const still = await tx.rows<AttemptKey>(
        `SELECT job_id AS "jobId", number AS attempt FROM scheduling.attempt
         WHERE (job_id, number) IN (SELECT * FROM unnest($2::text[], $3::int[])) AND ${isDue('$1')}`,
        [this.times.skewMs, free.map((key) => key.jobId), free.map((key) => key.attempt)],
      );
      const ends = still.flatMap((key) => {
        const job = jobs.get(key.jobId);
        const attempt = attempts.get(attemptKey(key));
        return job === undefined || attempt === undefined
          ? []
          : [{ job, attempt, outcome: lapsed(attempt.state === 'offered') }];
      });
      await avoidAll(
        tx,
        ends.flatMap(({ job, attempt }) =>
          attempt.state === 'offered'
            ? [{ jobId: job.id, clusterId: attempt.cluster_id, reason: 'it did not take the offer in time' }]
            : [],
        ),
      );
      await this.endAttempt.endAll(tx, ends);
      return ends.flatMap(({ attempt }) => (attempt.state === 'offered' ? [attempt] : []));
    });
    // By themselves: a cluster's row is locked before jobs, never after.
    const whole = unanswered.filter((offer) => offer.gpu_slot === null);
    for (const clusterId of new Set(whole.map((offer) => offer.cluster_id))) {
      const there = whole.filter((offer) => offer.cluster_id === clusterId);
      await this.transactor.do((tx) => doubtSilentCapacity(tx, clusterId, there));
    }
  }

  /** Only clusters whose state is no longer what follows from what is known cost a transaction. */
  private async settleClusters(leadership: Leadership): Promise<void> {
    for (const id of await findUnsettled(this.transactor.read, this.times.downAfterMs)) {
      await this.transactor.do(async (tx) => {
        await requireEpoch(tx, leadership);
        await settleClusterState(tx, id, this.times.downAfterMs);
      });
    }
  }
}

/** Whether a lease, with the skew of clocks, or an offer has run out. @param skew names the parameter, in ms. */
function isDue(skew: string): string {
  return `((state IN (${held}) AND lease_expires_at + ${skew} * interval '1 millisecond' < now())
    OR (state = 'offered' AND offer_expires_at < now()))`;
}

function lapsed(wasOffered: boolean): AttemptOutcome {
  return {
    state: wasOffered ? 'expired' : 'lost',
    reason: wasOffered
      ? 'the cluster did not take the offer in time'
      : 'the agent was not heard of until the lease ran out',
    exitCode: null,
    retriable: true,
    actor: 'scheduler',
  };
}

/** Keeps jobs from being offered to a cluster again at once. */
export async function avoidAll(
  tx: Tx,
  declined: readonly { readonly jobId: string; readonly clusterId: string; readonly reason: string }[],
): Promise<void> {
  if (declined.length === 0) return;
  await tx.rows(
    `INSERT INTO scheduling.decline (job_id, cluster_id, until, reason)
     SELECT job_id, cluster_id, now() + $4 * interval '1 millisecond', reason
     FROM unnest($1::text[], $2::text[], $3::text[]) AS e (job_id, cluster_id, reason)
     ON CONFLICT (job_id, cluster_id) DO UPDATE SET until = excluded.until, reason = excluded.reason`,
    [
      declined.map((one) => one.jobId),
      declined.map((one) => one.clusterId),
      declined.map((one) => one.reason),
      declineMs,
    ],
  );
}
