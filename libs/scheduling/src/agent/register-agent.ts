import type { AttemptRef, ClusterInventory, ClusterPolicy, ProblemCode } from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { settleClusterState } from '../clusters/settle-cluster-state.js';
import { isHeld } from '../domain/attempt-lifecycle.js';
import { type AttemptOutcome, EndAttempt } from '../jobs/end-attempt.js';
import { LEASE_TIMES, type LeaseTimes } from '../ports.js';
import { lockAttempts, lockJobs } from '../postgres/job-records.js';
import { type Fenced, superseded } from './fence.js';

export interface AgentRegistration {
  readonly clusterId: string;
  readonly instanceId: string;
  readonly agentVersion: string;
  readonly inventory: ClusterInventory;
  readonly policy: ClusterPolicy;
  readonly stopped: readonly AttemptRef[];
}

export interface RegisteredAgent {
  readonly clusterName: string;
  readonly incarnation: number;
}

/** An agent process begins: it gets the next incarnation, and every earlier process of its cluster is fenced off. */
@Injectable()
export class RegisterAgent {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(EndAttempt) private readonly endAttempt: EndAttempt,
    @Inject(LEASE_TIMES) private readonly times: LeaseTimes,
  ) {}

  execute(agent: AgentRegistration): Promise<Result<RegisteredAgent, Problem<ProblemCode>>> {
    return this.transactor.run(async (tx) => {
      const ghost = await refuseGhost(tx, agent);
      if (ghost !== undefined) return err(ghost);
      const cluster = await tx.row<{ name: string; incarnation: number }>(
        `UPDATE scheduling.cluster SET
           incarnation = incarnation + CASE WHEN instance_id = $2 THEN 0 ELSE 1 END,
           instance_id = $2, agent_version = $3, inventory = $4, policy = $5, agent_draining = false, last_seen_at = now()
         WHERE id = $1 AND state <> 'retired' RETURNING name, incarnation`,
        [
          agent.clusterId,
          agent.instanceId,
          agent.agentVersion,
          JSON.stringify(agent.inventory),
          JSON.stringify(agent.policy),
        ],
      );
      if (cluster === undefined) {
        return err(problem('auth.forbidden', 'This cluster has been retired; its key is of no use any more'));
      }
      await rememberInstance(tx, agent, cluster.incarnation);
      await this.endStopped(tx, agent, cluster.incarnation);
      await settleClusterState(tx, agent.clusterId, this.times.downAfterMs);
      tx.knock('schedule');
      return ok({ clusterName: cluster.name, incarnation: cluster.incarnation });
    });
  }

  /** The new process has seen the programs of earlier ones dead: no need to wait for their leases. */
  private async endStopped(tx: Tx, agent: AgentRegistration, incarnation: number): Promise<void> {
    if (agent.stopped.length === 0) return;
    const jobs = await lockJobs(
      tx,
      agent.stopped.map(({ jobId }) => jobId),
    );
    const attempts = await lockAttempts(tx, agent.stopped);
    const ends = [...attempts.values()].flatMap((attempt) => {
      const job = jobs.get(attempt.job_id);
      const isOurs = attempt.cluster_id === agent.clusterId && isHeld(attempt.state);
      const isOfEarlier = attempt.incarnation !== null && attempt.incarnation < incarnation;
      return job !== undefined && isOurs && isOfEarlier
        ? [{ job, attempt, outcome: endedWithTheirAgent(agent.clusterId) }]
        : [];
    });
    await this.endAttempt.endAll(tx, ends);
  }
}

function endedWithTheirAgent(actor: string): AttemptOutcome {
  return {
    state: 'lost',
    reason: 'the agent was started again and has ended what was left of this attempt',
    exitCode: null,
    retriable: true,
    actor,
  };
}

/** Processes of a cluster that are remembered: a copy of a message does not stay under way for longer. */
const instancesKept = 100;

/**
 * A copy of the registration of a process that has been replaced, arriving late, must not replace its successor.
 * Locks the cluster, so that two registrations take turns.
 */
async function refuseGhost(tx: Tx, agent: AgentRegistration): Promise<Fenced | undefined> {
  const present = await tx.row<{ instance_id: string | null; incarnation: number }>(
    'SELECT instance_id, incarnation FROM scheduling.cluster WHERE id = $1 FOR UPDATE',
    [agent.clusterId],
  );
  if (present === undefined || present.instance_id === agent.instanceId) return undefined;
  const earlier = await tx.row<{ incarnation: number }>(
    'SELECT incarnation FROM scheduling.agent_instance WHERE cluster_id = $1 AND instance_id = $2',
    [agent.clusterId, agent.instanceId],
  );
  return earlier === undefined ? undefined : superseded(earlier.incarnation, present.incarnation);
}

async function rememberInstance(tx: Tx, agent: AgentRegistration, incarnation: number): Promise<void> {
  await tx.rows(
    `INSERT INTO scheduling.agent_instance (cluster_id, instance_id, incarnation) VALUES ($1, $2, $3)
     ON CONFLICT DO NOTHING`,
    [agent.clusterId, agent.instanceId, incarnation],
  );
  await tx.rows('DELETE FROM scheduling.agent_instance WHERE cluster_id = $1 AND incarnation < $2', [
    agent.clusterId,
    incarnation - instancesKept,
  ]);
}
