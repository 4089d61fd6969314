import { type Leadership, requireEpoch, Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AgentBell } from './agent-bell.js';
import { type Decisions, decide, type Placement } from './domain/decide.js';
import { loadSnapshot } from './load-snapshot.js';
import { LEASE_TIMES, type LeaseTimes } from './ports.js';
import { appendHistory } from './postgres/job-records.js';
import { Sweep } from './sweep.js';

/** Placements applied in one transaction: short locks, few commits. */
const placementsPerTransaction = 100;

/** One turn of the scheduler: what passes with time, then snapshot → decide → apply. Only the leader runs it. */
@Injectable()
export class RunCycle {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Sweep) private readonly sweep: Sweep,
    @Inject(AgentBell) private readonly bell: AgentBell,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
  ) {}

  async run(leadership: Leadership): Promise<Decisions> {
    await this.sweep.run(leadership);
    const { snapshot, nowMs } = await this.transactor.do((tx) => loadSnapshot(tx));
    const decisions = decide(snapshot, nowMs, Number(leadership.epoch));
    for (let at = 0; at < decisions.place.length; at += placementsPerTransaction) {
      await this.apply(leadership, decisions.place.slice(at, at + placementsPerTransaction));
    }
    return decisions;
  }

  private async apply(leadership: Leadership, placements: readonly Placement[]): Promise<void> {
    await this.transactor.do(async (tx) => {
      await requireEpoch(tx, leadership);
      // In the order of ids, as everyone locks several jobs.
      for (const placement of [...placements].sort((a, b) => (a.jobId < b.jobId ? -1 : 1))) {
        await this.offer(tx, placement, leadership.epoch);
      }
    });
    for (const clusterId of new Set(placements.map((p) => p.clusterId))) this.bell.ring(clusterId);
  }

  /** Makes the next attempt, if the job still waits: a compare-and-set, so a late decision does no harm. */
  private async offer(tx: Tx, placement: Placement, epoch: bigint): Promise<void> {
    const job = await tx.row<{
      attempts: number;
      gpus: number;
      owner: string;
      resumable_step: string | null;
    }>(
      `UPDATE scheduling.job SET state = 'running', attempts = attempts + 1, updated_at = now(), retry_at = NULL
       WHERE id = $1 AND state = 'queued' AND cancel_requested_at IS NULL
         AND EXISTS (SELECT 1 FROM scheduling.cluster WHERE id = $2 AND state = 'active')
       RETURNING attempts, gpus, owner, resumable_step`,
      [placement.jobId, placement.clusterId],
    );
    if (job === undefined) return;
    await tx.rows(
      `INSERT INTO scheduling.attempt (job_id, number, cluster_id, gpus, owner, offer_expires_at, resumed_from_step)
       VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 millisecond', $7)`,
      [
        placement.jobId,
        job.attempts,
        placement.clusterId,
        job.gpus,
        job.owner,
        this.times.offerTtlMs,
        job.resumable_step,
      ],
    );
    const actor = `scheduler/${epoch}`;
    await appendHistory(tx, {
      jobId: placement.jobId,
      attempt: null,
      subject: 'job',
      from: 'queued',
      to: 'running',
      actor,
      reason: null,
    });
    await appendHistory(tx, {
      jobId: placement.jobId,
      attempt: job.attempts,
      subject: 'attempt',
      from: null,
      to: 'offered',
      actor,
      reason: `to ${placement.clusterId}`,
    });
  }
}
