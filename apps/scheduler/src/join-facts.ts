import { PlanJobs } from '@beamtime/catalogue';
import { evaluateModel } from '@beamtime/contracts';
import { ok } from '@beamtime/kernel';
import { FactDelivery, LOGGER, type Tx } from '@beamtime/platform';
import { CancelJob, JobViews, PlanLate, recordPledges, SubmitJob } from '@beamtime/scheduling';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { evaluationPlanOf, submitPlanned } from './submit-planned.js';

/** A model that is asked for on demand is served for an hour; who asks again keeps it. */
const servedOnDemandSeconds = 3_600;

/** What scheduling learns from other contexts. */
@Injectable()
export class JoinFacts implements OnModuleInit {
  constructor(
    @Inject(FactDelivery) private readonly delivery: FactDelivery,
    @Inject(PlanJobs) private readonly plan: PlanJobs,
    @Inject(PlanLate) private readonly late: PlanLate,
    @Inject(SubmitJob) private readonly submit: SubmitJob,
    @Inject(CancelJob) private readonly cancel: CancelJob,
    @Inject(JobViews) private readonly jobs: JobViews,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  onModuleInit(): void {
    this.delivery.register({
      name: 'scheduling',
      handlers: {
        'round.funded': ({ payload }, tx) => recordPledges(tx, payload),
        'model.wanted': ({ payload }) => this.serve(payload.modelId),
        'model.training-recorded': ({ payload }, tx) => this.planEvaluations(tx, payload.modelId),
        'model.unwanted': ({ payload }) => this.endServing(payload.modelId),
      },
    });
  }

  /**
   * In a transaction of its own, so that a refusal leaves no half of a job behind; a second time it finds the same job.
   * A refusal is for the operators: whoever asked has been told that the model is not served yet.
   */
  private async serve(modelId: string): Promise<void> {
    const planned = await this.plan.serving(modelId, { maxSeconds: servedOnDemandSeconds });
    const submitted = planned.ok
      ? await submitPlanned(this.submit, planned.value, {
          kind: 'serve',
          account: { kind: 'operations' },
          attemptLimit: 20,
          requestKey: null,
          submittedBy: 'gateway',
        })
      : planned;
    if (!submitted.ok)
      this.log.warn({ modelId, problem: submitted.error }, 'a wanted model cannot be served');
  }

  /** Evaluations that were asked for before the model was trained: now its revisions are known. */
  private planEvaluations(tx: Tx, modelId: string): Promise<void> {
    return this.late.execute(tx, modelId, async (unplanned) => {
      const asked = evaluationPlanOf(evaluateModel.body.parse(unplanned));
      const planned = await this.plan.evaluation(modelId, asked, tx);
      return planned.ok ? ok({ runner: planned.value.template, inputs: planned.value.inputs }) : planned;
    });
  }

  private async endServing(modelId: string): Promise<void> {
    const { items } = await this.jobs.list({ modelId: modelId as never, kind: 'serve', limit: 20 });
    for (const job of items) {
      if (job.state !== 'queued' && job.state !== 'running') continue;
      await this.cancel.execute({
        jobId: job.jobId,
        reason: 'nobody has asked this model for a while',
        actor: 'gateway',
        allowed: (record) => record.submitted_by === 'gateway',
      });
    }
  }
}
