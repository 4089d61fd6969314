import { PlanJobs } from '@beamtime/catalogue';
import { evaluateModel } from '@beamtime/contracts';
import { ok } from '@beamtime/kernel';
import { FactDelivery, type Tx } from '@beamtime/platform';
import { PlanLate, recordPledges } from '@beamtime/scheduling';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { KeepReplicas } from './replicas/keep-replicas.js';
import { evaluationPlanOf } from './submit-planned.js';

/** What scheduling learns from other contexts. */
@Injectable()
export class JoinFacts implements OnModuleInit {
  constructor(
    @Inject(FactDelivery) private readonly delivery: FactDelivery,
    @Inject(PlanJobs) private readonly plan: PlanJobs,
    @Inject(PlanLate) private readonly late: PlanLate,
    @Inject(KeepReplicas) private readonly replicas: KeepReplicas,
  ) {}

  onModuleInit(): void {
    this.delivery.register({
      name: 'scheduling',
      handlers: {
        'round.funded': ({ payload }, tx) => recordPledges(tx, payload),
        // In a transaction of its own, so that a refusal leaves no half of a job behind.
        'model.wanted': ({ payload }) => this.replicas.keep(payload.modelId),
        'model.training-recorded': ({ payload }, tx) => this.planEvaluations(tx, payload.modelId),
      },
    });
  }

  /** Evaluations that were asked for before the model was trained: now its revisions are known. */
  private planEvaluations(tx: Tx, modelId: string): Promise<void> {
    return this.late.execute(tx, modelId, async (unplanned) => {
      const asked = evaluationPlanOf(evaluateModel.body.parse(unplanned));
      const planned = await this.plan.evaluation(modelId, asked, tx);
      return planned.ok ? ok({ runner: planned.value.template, inputs: planned.value.inputs }) : planned;
    });
  }
}
