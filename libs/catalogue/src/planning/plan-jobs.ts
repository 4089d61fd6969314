import type { FileEntry, JobInputRequest } from '@beamtime/contracts';
import type { Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { findInputs } from './find-inputs.js';
import {
  type EvaluableModels,
  type EvaluationPlan,
  findEvaluable,
  planEvaluation,
  planEvaluationToCome,
} from './plan-evaluations.js';
import { planServing } from './plan-serving.js';
import { planTrainings } from './plan-trainings.js';
import type { PlannedJob, PlanProblem } from './planned-job.js';

/**
 * Turns what the catalogue knows into jobs: which files, which options. It submits nothing. Each reads in the transaction
 * that it is given, or by itself.
 */
@Injectable()
export class PlanJobs {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** See `planTrainings`. */
  training(
    suiteId: string,
    options: Parameters<typeof planTrainings>[2] = {},
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob[], PlanProblem>> {
    return planTrainings(tx, suiteId, options);
  }

  /** See `planEvaluation`. */
  evaluation(
    modelId: string,
    plan: EvaluationPlan,
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob, PlanProblem>> {
    return planEvaluation(tx, modelId, plan);
  }

  /** See `planEvaluationToCome`. */
  evaluationToCome(
    modelId: string,
    plan: EvaluationPlan,
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob | null, PlanProblem>> {
    return planEvaluationToCome(tx, modelId, plan);
  }

  /** See `findEvaluable`. */
  evaluable(
    suiteId: string,
    plan: EvaluationPlan,
    tx: Tx = this.transactor.read,
  ): Promise<Result<EvaluableModels, PlanProblem>> {
    return findEvaluable(tx, suiteId, plan);
  }

  /** See `planServing`. */
  serving(
    modelId: string,
    options: Parameters<typeof planServing>[2] = {},
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob, PlanProblem>> {
    return planServing(tx, modelId, options);
  }

  /** See `findInputs`. */
  inputs(
    requests: readonly JobInputRequest[],
    tx: Tx = this.transactor.read,
  ): Promise<Result<FileEntry[], PlanProblem>> {
    return findInputs(tx, requests);
  }
}
