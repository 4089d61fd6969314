import type { ProblemCode } from '@beamtime/contracts';
import {
  type ClusterId,
  err,
  type LabId,
  move,
  ok,
  type Problem,
  problem,
  type Result,
} from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AgentBell } from '../agent-bell.js';
import { liveStates } from '../domain/attempt-lifecycle.js';
import { type ClusterState, clusterLifecycle } from '../domain/cluster-lifecycle.js';
import { AGENT_KEYS, type AgentKeys, LEASE_TIMES, type LeaseTimes } from '../ports.js';
import { settleClusterState } from './settle-cluster-state.js';

export interface ClusterChange {
  readonly clusterId: string;
  readonly reason: string | null;
  readonly actor: string;
  /** Whether the caller may; asked with the cluster's lab. */
  readonly allowed: (labId: LabId) => boolean;
}

interface Locked {
  id: ClusterId;
  lab_id: LabId;
  name: string;
  state: ClusterState;
}
type Outcome<T> = Promise<Result<T, Problem<ProblemCode>>>;

const live = liveStates.map((state) => `'${state}'`).join(', ');

/** What people do to a cluster: drain, resume, retire, change its key. */
@Injectable()
export class ChangeCluster {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(AGENT_KEYS) private readonly keys: AgentKeys,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
    @Inject(AgentBell) private readonly bell: AgentBell,
  ) {}

  drain(change: ClusterChange): Outcome<void> {
    return this.setDrain(change, true);
  }

  /** Undoes a drain that people asked for; an agent whose operator drains it stays drained. */
  resume(change: ClusterChange): Outcome<void> {
    return this.setDrain(change, false);
  }

  private setDrain(change: ClusterChange, drain: boolean): Outcome<void> {
    return this.change(change, drain ? 'cluster.drain' : 'cluster.resume', async (tx, cluster) => {
      if (cluster.state === 'retired') {
        return err(problem('state.illegal-transition', `Cluster ${cluster.name} has been retired`));
      }
      await tx.rows('UPDATE scheduling.cluster SET drain_requested = $2, state_reason = $3 WHERE id = $1', [
        cluster.id,
        drain,
        drain ? change.reason : null,
      ]);
      await settleClusterState(tx, cluster.id, this.times.downAfterMs);
      return ok(undefined);
    });
  }

  retire(change: ClusterChange): Outcome<void> {
    return this.change(change, 'cluster.retire', async (tx, cluster) => {
      const moved = move(clusterLifecycle, `cluster ${cluster.name}`, cluster.state, 'retired');
      if (!moved.ok) return moved;
      const busy = await tx.rows(
        `SELECT 1 FROM scheduling.attempt WHERE cluster_id = $1 AND state IN (${live}) LIMIT 1`,
        [cluster.id],
      );
      if (busy.length > 0) {
        return err(
          problem('state.illegal-transition', `Work runs on ${cluster.name}; drain it first, then retire it`),
        );
      }
      await tx.rows(`UPDATE scheduling.cluster SET state = 'retired', state_reason = $2 WHERE id = $1`, [
        cluster.id,
        change.reason,
      ]);
      await tx.rows('DELETE FROM scheduling.cached_input WHERE cluster_id = $1', [cluster.id]);
      await this.keys.revokeAll(tx, cluster.id, change.actor);
      return ok(undefined);
    });
  }

  rotateKey(change: ClusterChange): Outcome<string> {
    return this.change(change, 'cluster.rotate-key', async (tx, cluster) => {
      if (cluster.state === 'retired') {
        return err(problem('state.illegal-transition', `Cluster ${cluster.name} has been retired`));
      }
      await this.keys.revokeAll(tx, cluster.id, change.actor);
      return ok(
        await this.keys.issue(tx, {
          clusterId: cluster.id,
          labId: cluster.lab_id,
          name: cluster.name,
          actor: change.actor,
        }),
      );
    });
  }

  private async change<T>(
    change: ClusterChange,
    action: string,
    work: (tx: Tx, cluster: Locked) => Outcome<T>,
  ): Outcome<T> {
    const done = await this.transactor.run<T, Problem<ProblemCode>>(async (tx) => {
      const cluster = await tx.row<Locked>(
        'SELECT id, lab_id, name, state FROM scheduling.cluster WHERE id = $1 FOR UPDATE',
        [change.clusterId],
      );
      if (cluster === undefined)
        return err(problem('resource.not-found', `There is no cluster ${change.clusterId}`));
      if (!change.allowed(cluster.lab_id)) {
        return err(problem('auth.forbidden', "Only an operator of the cluster's lab or the secretariat may"));
      }
      const outcome = await work(tx, cluster);
      if (!outcome.ok) return outcome;
      await tx.audit({
        actor: change.actor,
        action,
        subject: cluster.id,
        details: change.reason === null ? {} : { reason: change.reason },
      });
      tx.knock('schedule');
      return outcome;
    });
    if (done.ok) this.bell.ring(change.clusterId);
    return done;
  }
}
