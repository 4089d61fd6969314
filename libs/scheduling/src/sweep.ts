import { type Leadership, requireEpoch, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type AttemptState, heldStates } from './domain/attempt-lifecycle.js';
import { EndAttempt } from './end-attempt.js';
import { LEASE_TIMES, type LeaseTimes } from './ports.js';
import { findAttempt, lockJob } from './postgres/job-records.js';
import { settleClusterState } from './settle-cluster-state.js';
import { doubtSilentCapacity } from './trust-capacity.js';

const held = heldStates.map((state) => `'${state}'`).join(', ');
/** Per sweep; the next one follows within the second. */
const attemptsPerSweep = 500;
/** A cluster that let an offer lapse is left alone with that job for a while. */
export const declineMs = 30_000;

/**
 * What passes with time: leases that ran out, offers that nobody took, clusters that fell silent. Run by the leader
 * before each decision; takes no input.
 */
@Injectable()
export class Sweep {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
  ) {}

  async run(leadership: Leadership): Promise<void> {
    for (const due of await this.due()) await this.end(leadership, due);
    await this.settleClusters(leadership);
  }

  /** Read without a lock; `end` looks again under the lock. */
  private due(): Promise<{ job_id: string; number: number }[]> {
    return this.transactor.read.rows(
      `SELECT job_id, number FROM scheduling.attempt
       WHERE (state IN (${held}) AND lease_expires_at + $1 * interval '1 millisecond' < now())
          OR (state = 'offered' AND offer_expires_at < now())
       LIMIT ${attemptsPerSweep}`,
      [this.times.skewMs],
    );
  }

  private async end(leadership: Leadership, due: { job_id: string; number: number }): Promise<void> {
    const lapsed = await this.transactor.do(async (tx) => {
      await requireEpoch(tx, leadership);
      const job = await lockJob(tx, due.job_id);
      const still = await tx.row<{ state: AttemptState }>(
        `SELECT state FROM scheduling.attempt WHERE job_id = $1 AND number = $2
         AND ((state IN (${held}) AND lease_expires_at + $3 * interval '1 millisecond' < now())
           OR (state = 'offered' AND offer_expires_at < now()))`,
        [due.job_id, due.number, this.times.skewMs],
      );
      const attempt = await findAttempt(tx, due.job_id, due.number);
      if (job === undefined || still === undefined || attempt === undefined) return undefined;
      const offered = attempt.state === 'offered';
      if (offered) await avoid(tx, job.id, attempt.cluster_id, 'it did not take the offer in time');
      await this.endAttempt.end(tx, job, attempt, {
        state: offered ? 'expired' : 'lost',
        reason: offered
          ? 'the cluster did not take the offer in time'
          : 'the agent was not heard of until the lease ran out',
        exitCode: null,
        retriable: true,
        actor: 'scheduler',
      });
      return offered ? attempt : undefined;
    });
    if (lapsed === undefined) return;
    await this.transactor.do((tx) => doubtSilentCapacity(tx, lapsed.cluster_id, lapsed.gpus));
  }

  private async settleClusters(leadership: Leadership): Promise<void> {
    const clusters = await this.transactor.read.rows<{ id: string }>(
      `SELECT id FROM scheduling.cluster WHERE state <> 'retired'`,
    );
    for (const { id } of clusters) {
      await this.transactor.do(async (tx) => {
        await requireEpoch(tx, leadership);
        await settleClusterState(tx, id, this.times.downAfterMs);
      });
    }
  }
}

/** Keeps a job from being offered to a cluster again at once. */
export async function avoid(
  tx: { rows: (sql: string, parameters?: readonly unknown[]) => Promise<unknown[]> },
  jobId: string,
  clusterId: string,
  reason: string,
): Promise<void> {
  await tx.rows(
    `INSERT INTO scheduling.decline (job_id, cluster_id, until, reason)
     VALUES ($1, $2, now() + $3 * interval '1 millisecond', $4)
     ON CONFLICT (job_id, cluster_id) DO UPDATE SET until = excluded.until, reason = excluded.reason`,
    [jobId, clusterId, declineMs, reason],
  );
}
