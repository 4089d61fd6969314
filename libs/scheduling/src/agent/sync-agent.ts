import {
  type AttemptRef,
  type ClusterInventory,
  type ClusterPolicy,
  type JobKind,
  type ProblemCode,
  type SyncAnswer,
  schedulingLimits,
} from '@beamtime/contracts';
import { err, ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AgentBell } from '../agent-bell.js';
import { settleClusterState } from '../clusters/settle-cluster-state.js';
import { gpusGivenOut, restoreCapacity } from '../clusters/trust-capacity.js';
import { heldStates, liveStates } from '../domain/attempt-lifecycle.js';
import { type ClusterState, clusterStateOf } from '../domain/cluster-lifecycle.js';
import { boundWithSome } from '../domain/elastic.js';
import type { CapacityTrust } from '../domain/trusted-capacity.js';
import { LEASE_TIMES, type LeaseTimes } from '../ports.js';
import { refuseSuperseded, superseded } from './fence.js';
import { keepCachedInputs, type SaidInputs } from './keep-cached-inputs.js';

export interface AgentSync {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly inventory: ClusterInventory;
  readonly policy: ClusterPolicy;
  readonly draining: boolean;
  readonly attempts: readonly AttemptRef[];
  /** What the agent has heard and not answered yet. */
  readonly heard: readonly (AttemptRef & { readonly what: 'offer' | 'cancel' | 'preempt' })[];
  /** Absent while it keeps what it said before. */
  readonly cached?: SaidInputs | undefined;
  readonly wait: boolean;
}

type Commands = Pick<SyncAnswer, 'offers' | 'cancel' | 'preempt' | 'stop'>;

const held = heldStates.map((state) => `'${state}'`).join(', ');
const live = liveStates.map((state) => `'${state}'`).join(', ');

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
    const heard = new Set(sync.heard.map((one) => `${one.what} ${key(one)}`));
    // From before the first look on: what is said while it looks is not missed.
    const ear = this.bell.listen(sync.clusterId, sync.incarnation);
    try {
      let commands = await this.commands(this.transactor.read, sync, leases);
      while (saysNothingNew(commands, heard) && Date.now() < deadlineMs && !gone.aborted) {
        const rung = await ear.wait(deadlineMs - Date.now(), gone);
        if (!rung) break;
        const replaced = await refuseSuperseded(this.transactor.read, sync);
        if (replaced !== undefined) return err(replaced);
        commands = await this.commands(this.transactor.read, sync, leases);
      }
      // The answer tells all that there is, or the agent would forget that it has heard it.
      if (sync.heard.length > 0 && saysNothingNew(commands, heard))
        commands = await this.commands(this.transactor.read, { ...sync, heard: [] }, leases);
      return ok(this.answer(leases, state, commands));
    } finally {
      ear.close();
    }
  }

  private answer(
    renewed: AttemptRef[],
    clusterState: SyncAnswer['clusterState'],
    commands: Commands,
  ): SyncAnswer {
    const { leaseTtlMs, longPollMs, pollIntervalMs, stopMarginMs } = this.times;
    return {
      times: { leaseTtlMs, longPollMs, pollIntervalMs, stopMarginMs },
      clusterState,
      renewed,
      ...commands,
    };
  }

  /** One statement, so one round trip and one commit: this is what every agent does all day. */
  private async renew(
    sync: AgentSync,
  ): Promise<Result<{ leases: AttemptRef[]; state: SyncAnswer['clusterState'] }, Problem<ProblemCode>>> {
    const row = await this.transactor.read.row<RenewedRow>(renewal, [
      sync.clusterId,
      sync.incarnation,
      JSON.stringify(sync.inventory),
      JSON.stringify(sync.policy),
      sync.draining,
      sync.attempts.map((ref) => ref.jobId),
      sync.attempts.map((ref) => ref.attempt),
      this.times.leaseTtlMs,
    ]);
    if (row === undefined) {
      return err((await refuseSuperseded(this.transactor.read, sync)) ?? superseded(sync.incarnation, 0));
    }
    if (sync.cached !== undefined) await keepCachedInputs(this.transactor.read, sync, sync.cached);
    if (row.trust !== null) {
      await restoreCapacity(this.transactor.read, sync.clusterId, row.trust, row.held_gpus);
    }
    const facts = {
      state: row.state,
      drainRequested: row.drain_requested,
      agentDraining: sync.draining,
      silentMs: 0,
      liveAttempts: row.live,
    };
    const state =
      clusterStateOf(facts, this.times.downAfterMs) === row.state
        ? row.state
        : await this.transactor.do((tx) => settleClusterState(tx, sync.clusterId, this.times.downAfterMs));
    return ok({ leases: row.leases.map(([jobId, attempt]) => ({ jobId, attempt })), state });
  }

  /** What there is to tell; the details only when the agent has not heard all of it. */
  private async commands(tx: Tx, sync: AgentSync, leases: readonly AttemptRef[]): Promise<Commands> {
    const rows = await tx.rows<CommandRow>(
      `WITH said AS MATERIALIZED (
         SELECT job_id, number, 'offer' AS what FROM scheduling.attempt WHERE cluster_id = $1 AND state = 'offered'
         UNION ALL
         SELECT job_id, number, 'preempt' FROM scheduling.attempt
         WHERE cluster_id = $1 AND incarnation = $2 AND state IN (${held}) AND preempt_reason IS NOT NULL
         UNION ALL
         SELECT c.job_id, c.number, 'cancel' FROM scheduling.attempt c JOIN scheduling.job w ON w.id = c.job_id
         WHERE w.state = 'running' AND w.cancel_requested_at IS NOT NULL
           AND c.cluster_id = $1 AND c.incarnation = $2 AND c.state IN (${held})
       )
       SELECT a.job_id, a.number, a.state, a.preempt_reason, j.kind, j.lab_id, j.suite_id, a.gpus, j.gpus AS gpus_most, a.gpu_slot,
         j.gpu_share_milli, j.gpu_type,
         j.gpu_memory_mib, j.max_seconds, j.checkpointable, j.cancel_requested_at IS NOT NULL AS cancelled,
         j.cancel_reason, (extract(epoch FROM a.offer_expires_at - clock_timestamp()) * 1000)::int AS expires_in_ms
       FROM (SELECT DISTINCT job_id, number FROM said) s
       JOIN scheduling.attempt a ON a.job_id = s.job_id AND a.number = s.number
       JOIN scheduling.job j ON j.id = a.job_id
       WHERE EXISTS (SELECT 1 FROM said WHERE (job_id, number, what) NOT IN
         (SELECT * FROM unnest($3::text[], $4::int[], $5::text[])))
       ORDER BY a.offered_at, a.job_id`,
      [
        sync.clusterId,
        sync.incarnation,
        sync.heard.map((one) => one.jobId),
        sync.heard.map((one) => one.attempt),
        sync.heard.map((one) => one.what),
      ],
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

interface RenewedRow {
  state: ClusterState;
  drain_requested: boolean;
  /** Null while what the cluster says that it has was never doubted. */
  trust: CapacityTrust | null;
  live: number;
  /** GPUs of the attempts whose leases were renewed. */
  held_gpus: number;
  leases: [jobId: string, attempt: number][];
}

/** The cluster is seen, and the leases that it names are renewed: in the order in which everyone locks attempts. */
const renewal = `
  WITH seen AS (
    UPDATE scheduling.cluster SET last_seen_at = now(), inventory = $3, policy = $4, agent_draining = $5
    WHERE id = $1 AND incarnation = $2 AND state <> 'retired' RETURNING state, drain_requested, trust
  ), mine AS MATERIALIZED (
    SELECT a.job_id, a.number FROM scheduling.attempt a
    WHERE (a.job_id, a.number) IN (SELECT * FROM unnest($6::text[], $7::int[])) AND EXISTS (SELECT 1 FROM seen)
      AND a.cluster_id = $1 AND a.incarnation = $2 AND a.state IN (${held})
    ORDER BY a.job_id, a.number FOR UPDATE
  ), renewed AS (
    UPDATE scheduling.attempt a SET lease_expires_at = now() + $8 * interval '1 millisecond', renewed_at = now()
    FROM mine WHERE a.job_id = mine.job_id AND a.number = mine.number AND a.state IN (${held})
    RETURNING a.job_id, a.number, a.gpus, a.gpu_slot
  )
  SELECT state, drain_requested, trust,
    (SELECT ${gpusGivenOut} FROM renewed) AS held_gpus,
    (SELECT count(*)::int FROM scheduling.attempt WHERE cluster_id = $1 AND state IN (${live})) AS live,
    coalesce((SELECT json_agg(json_build_array(job_id, number)) FROM renewed), '[]') AS leases
  FROM seen`;

interface CommandRow {
  job_id: string;
  number: number;
  state: string;
  preempt_reason: string | null;
  kind: JobKind;
  lab_id: string | null;
  suite_id: string | null;
  /** Those of the attempt. */
  gpus: number;
  /** Those that the job asks for. */
  gpus_most: number;
  gpu_slot: number | null;
  gpu_share_milli: number;
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
    ...(row.gpu_slot === null ? {} : { gpuSlot: row.gpu_slot }),
    resources: {
      gpus: row.gpus,
      ...(row.gpu_slot === null ? {} : { gpuShareMilli: row.gpu_share_milli }),
      ...(row.gpu_type === null ? {} : { gpuType: row.gpu_type }),
      ...(row.gpu_memory_mib === null ? {} : { gpuMemoryMiB: row.gpu_memory_mib }),
      maxSeconds: boundWithSome(row.max_seconds, row.gpus, row.gpus_most, schedulingLimits.maxSeconds),
      checkpoint: row.checkpointable,
    },
  };
}

const key = (ref: AttemptRef): string => `${ref.jobId}/${ref.attempt}`;

/** An offer that the agent is thinking about is no news, nor is a stop that it is busy with. */
function saysNothingNew(commands: Commands, heard: ReadonlySet<string>): boolean {
  return (
    commands.stop.length === 0 &&
    commands.offers.every((offer) => heard.has(`offer ${key(offer)}`)) &&
    commands.cancel.every((wish) => heard.has(`cancel ${key(wish)}`)) &&
    commands.preempt.every((wish) => heard.has(`preempt ${key(wish)}`))
  );
}
