import type {
  AttemptRef,
  ClusterInventory,
  ClusterPolicy,
  JobKind,
  ProblemCode,
  SyncAnswer,
} from '@beamtime/contracts';
import { err, ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AgentBell } from '../agent-bell.js';
import { heldStates } from '../domain/attempt-lifecycle.js';
import type { CapacityTrust } from '../domain/trusted-capacity.js';
import { LEASE_TIMES, type LeaseTimes } from '../ports.js';
import { settleClusterState } from '../settle-cluster-state.js';
import { restoreCapacity } from '../trust-capacity.js';
import { refuseSuperseded, superseded } from './fence.js';

export interface AgentSync {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly inventory: ClusterInventory;
  readonly policy: ClusterPolicy;
  readonly draining: boolean;
  readonly attempts: readonly AttemptRef[];
  readonly wait: boolean;
}

type Commands = Pick<SyncAnswer, 'offers' | 'cancel' | 'preempt' | 'stop'>;

const held = heldStates.map((state) => `'${state}'`).join(', ');
/** How often a waiting sync looks for what another process has decided. */
const lookEveryMs = 250;

/** Renews leases and tells an agent what to do; keeps the request open for a while when there is nothing. */
@Injectable()
export class SyncAgent {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(AgentBell) private readonly bell: AgentBell,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
  ) {}

  async execute(sync: AgentSync, gone: AbortSignal): Promise<Result<SyncAnswer, Problem<ProblemCode>>> {
    const renewed = await this.renew(sync);
    if (!renewed.ok) return renewed;
    const { leases, state } = renewed.value;
    const deadlineMs = Date.now() + (sync.wait ? this.times.longPollMs : 0);
    let commands = await this.commands(this.transactor.read, sync, leases);
    while (isEmpty(commands) && Date.now() < deadlineMs && !gone.aborted) {
      await this.bell.wait(sync.clusterId, Math.min(lookEveryMs, deadlineMs - Date.now()), gone);
      const replaced = await refuseSuperseded(this.transactor.read, sync);
      if (replaced !== undefined) return err(replaced);
      commands = await this.commands(this.transactor.read, sync, leases);
    }
    const { leaseTtlMs, longPollMs, pollIntervalMs, stopMarginMs } = this.times;
    return ok({
      times: { leaseTtlMs, longPollMs, pollIntervalMs, stopMarginMs },
      clusterState: state,
      renewed: leases,
      ...commands,
    });
  }

  private renew(
    sync: AgentSync,
  ): Promise<Result<{ leases: AttemptRef[]; state: SyncAnswer['clusterState'] }, Problem<ProblemCode>>> {
    return this.transactor.run(async (tx) => {
      const seen = await tx.row<{ id: string; trust: CapacityTrust | null }>(
        `UPDATE scheduling.cluster SET last_seen_at = now(), inventory = $3, policy = $4, agent_draining = $5
         WHERE id = $1 AND incarnation = $2 AND state <> 'retired' RETURNING id, trust`,
        [
          sync.clusterId,
          sync.incarnation,
          JSON.stringify(sync.inventory),
          JSON.stringify(sync.policy),
          sync.draining,
        ],
      );
      if (seen === undefined) {
        return err((await refuseSuperseded(tx, sync)) ?? superseded(sync.incarnation, 0));
      }
      const rows = await tx.rows<{ job_id: string; number: number; gpus: number }>(
        `UPDATE scheduling.attempt a SET lease_expires_at = now() + $5 * interval '1 millisecond', renewed_at = now()
         FROM unnest($3::text[], $4::int[]) AS mine(job_id, number)
         WHERE a.job_id = mine.job_id AND a.number = mine.number AND a.cluster_id = $1 AND a.incarnation = $2
           AND a.state IN (${held})
         RETURNING a.job_id, a.number, a.gpus`,
        [
          sync.clusterId,
          sync.incarnation,
          sync.attempts.map((ref) => ref.jobId),
          sync.attempts.map((ref) => ref.attempt),
          this.times.leaseTtlMs,
        ],
      );
      if (seen.trust !== null) {
        const heldGpus = rows.reduce((sum, row) => sum + row.gpus, 0);
        await restoreCapacity(tx, sync.clusterId, seen.trust, heldGpus);
      }
      const state = await settleClusterState(tx, sync.clusterId, this.times.downAfterMs);
      return ok({ leases: rows.map((row) => ({ jobId: row.job_id, attempt: row.number })), state });
    });
  }

  private async commands(tx: Tx, sync: AgentSync, leases: readonly AttemptRef[]): Promise<Commands> {
    const rows = await tx.rows<CommandRow>(
      `SELECT a.job_id, a.number, a.state, a.preempt_reason, j.kind, j.lab_id, j.suite_id, j.gpus, j.gpu_type,
         j.gpu_memory_mib, j.max_seconds, j.checkpointable, j.cancel_requested_at IS NOT NULL AS cancelled,
         j.cancel_reason, (extract(epoch FROM a.offer_expires_at - clock_timestamp()) * 1000)::int AS expires_in_ms
       FROM scheduling.attempt a JOIN scheduling.job j ON j.id = a.job_id
       WHERE a.cluster_id = $1 AND (a.state = 'offered' OR (a.state IN (${held}) AND a.incarnation = $2
         AND (j.cancel_requested_at IS NOT NULL OR a.preempt_reason IS NOT NULL)))
       ORDER BY a.offered_at`,
      [sync.clusterId, sync.incarnation],
    );
    const ours = new Set(leases.map(key));
    const ref = (row: CommandRow): AttemptRef => ({ jobId: row.job_id, attempt: row.number });
    const holds = rows.filter((row) => row.state !== 'offered' && ours.has(key(ref(row))));
    return {
      offers: rows.filter((row) => row.state === 'offered' && row.expires_in_ms > 0).map(offerOf),
      cancel: holds
        .filter((row) => row.cancelled)
        .map((row) => ({ ...ref(row), reason: row.cancel_reason ?? 'cancelled' })),
      preempt: holds
        .filter((row) => !row.cancelled && row.preempt_reason !== null)
        .map((row) => ({ ...ref(row), reason: row.preempt_reason ?? 'preempted' })),
      stop: sync.attempts
        .filter((attempt) => !ours.has(key(attempt)))
        .map(({ jobId, attempt }) => ({ jobId, attempt })),
    };
  }
}

interface CommandRow {
  job_id: string;
  number: number;
  state: string;
  preempt_reason: string | null;
  kind: JobKind;
  lab_id: string | null;
  suite_id: string | null;
  gpus: number;
  gpu_type: string | null;
  gpu_memory_mib: number | null;
  max_seconds: number;
  checkpointable: boolean;
  cancelled: boolean;
  cancel_reason: string | null;
  expires_in_ms: number;
}

function offerOf(row: CommandRow): SyncAnswer['offers'][number] {
  return {
    jobId: row.job_id,
    attempt: row.number,
    kind: row.kind,
    labId: row.lab_id,
    suiteId: row.suite_id,
    expiresInMs: row.expires_in_ms,
    resources: {
      gpus: row.gpus,
      ...(row.gpu_type === null ? {} : { gpuType: row.gpu_type }),
      ...(row.gpu_memory_mib === null ? {} : { gpuMemoryMiB: row.gpu_memory_mib }),
      maxSeconds: row.max_seconds,
      checkpoint: row.checkpointable,
    },
  };
}

const key = (ref: AttemptRef): string => `${ref.jobId}/${ref.attempt}`;

function isEmpty(commands: Commands): boolean {
  return (
    commands.offers.length + commands.cancel.length + commands.preempt.length + commands.stop.length === 0
  );
}
