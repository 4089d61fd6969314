import type { ProblemCode } from '@beamtime/contracts';
import { type ClusterId, err, type LabId, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { isUniqueViolation, newId, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { AGENT_KEYS, type AgentKeys } from '../ports.js';

/** A lab's cluster joins: the key of its agent is shown once. It is down until the agent registers. */
@Injectable()
export class RegisterCluster {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(AGENT_KEYS) private readonly keys: AgentKeys,
  ) {}

  async execute(wish: {
    labId: LabId;
    name: string;
    actor: string;
  }): Promise<Result<{ clusterId: ClusterId; agentKey: string }, Problem<ProblemCode>>> {
    try {
      return await this.transactor.run(async (tx) => {
        const clusterId = newId('Cluster');
        await tx.rows('INSERT INTO scheduling.cluster (id, lab_id, name) VALUES ($1, $2, $3)', [
          clusterId,
          wish.labId,
          wish.name,
        ]);
        const agentKey = await this.keys.issue(tx, { clusterId, ...wish });
        await tx.audit({
          actor: wish.actor,
          action: 'cluster.register',
          subject: clusterId,
          details: { labId: wish.labId, name: wish.name },
        });
        return ok({ clusterId, agentKey });
      });
    } catch (error) {
      if (isUniqueViolation(error, 'cluster_name')) {
        return err(problem('resource.exists', `There is a cluster named ${wish.name} already`));
      }
      throw error;
    }
  }
}
