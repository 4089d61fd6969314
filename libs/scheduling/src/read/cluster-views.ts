import type { ClusterInventory, ClusterPolicy, ClusterView } from '@beamtime/contracts';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { gpusGivenOut } from '../clusters/trust-capacity.js';
import { liveStates } from '../domain/attempt-lifecycle.js';
import type { ClusterState } from '../domain/cluster-lifecycle.js';
import { type CapacityTrust, fullTrust, trustedGpus } from '../domain/trusted-capacity.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

interface Row {
  id: string;
  lab_id: string;
  name: string;
  state: ClusterState;
  state_reason: string | null;
  inventory: ClusterInventory | null;
  policy: ClusterPolicy | null;
  agent_version: string | null;
  incarnation: number;
  last_seen_at: Date | null;
  created_at: Date;
  gpus_busy: number;
  attempts_live: number;
  trust: CapacityTrust | null;
}

/** Clusters as people see them. */
@Injectable()
export class ClusterViews {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  list(): Promise<ClusterView[]> {
    return this.select('true', []);
  }

  async find(clusterId: string): Promise<ClusterView | undefined> {
    return (await this.select('c.id = $1', [clusterId]))[0];
  }

  private async select(where: string, parameters: unknown[]): Promise<ClusterView[]> {
    const rows = await this.transactor.read.rows<Row>(
      `SELECT c.*, coalesce(a.gpus_busy, 0) AS gpus_busy, coalesce(a.attempts_live, 0) AS attempts_live
       FROM scheduling.cluster c LEFT JOIN (
         SELECT cluster_id, ${gpusGivenOut} AS gpus_busy, count(*)::int AS attempts_live
         FROM scheduling.attempt WHERE state IN (${live}) GROUP BY cluster_id) a ON a.cluster_id = c.id
       WHERE ${where} ORDER BY c.name`,
      parameters,
    );
    return rows.map((row) => ({
      clusterId: row.id,
      labId: row.lab_id,
      name: row.name,
      state: row.state,
      stateReason: row.state_reason,
      inventory: row.inventory,
      policy: row.policy,
      gpusBusy: row.gpus_busy,
      ...trustView(row),
      attemptsLive: row.attempts_live,
      agentVersion: row.agent_version,
      incarnation: row.incarnation,
      lastSeenAt: row.last_seen_at?.toISOString() ?? null,
      createdAt: row.created_at.toISOString(),
    }));
  }
}

function trustView(row: Row): Pick<ClusterView, 'gpusTrusted' | 'gpusTrustedUntil'> {
  const claimed = row.inventory?.gpus ?? 0;
  const trust = row.trust ?? fullTrust;
  const trusted = trustedGpus(claimed, trust, Date.now());
  return trusted < claimed
    ? { gpusTrusted: trusted, gpusTrustedUntil: new Date(trust.untilMs).toISOString() }
    : { gpusTrusted: null, gpusTrustedUntil: null };
}
