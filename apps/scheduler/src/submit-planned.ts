import type { EvaluationPlan, PlannedJob } from '@beamtime/catalogue';
import type { BodyOf, evaluateModel, GpuAccountRef, ProblemCode } from '@beamtime/contracts';
import type { Problem, Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { SubmitJob, SubmittedJob } from '@beamtime/scheduling';

export interface PlannedSubmission {
  readonly kind: 'train' | 'evaluate' | 'serve';
  readonly account: GpuAccountRef;
  readonly studyId?: string | undefined;
  readonly attemptLimit: number;
  readonly requestKey: string | null;
  /** For a model that is still to be trained: the training, and from what the work is planned afterwards. */
  readonly whenTrained?: { readonly after: readonly string[]; readonly unplanned: Record<string, unknown> };
  /** For a serve job: which of the replicas of the model. */
  readonly replica?: number;
  readonly submittedBy: string;
}

/** What of a request the catalogue plans an evaluation from. */
export function evaluationPlanOf(body: BodyOf<typeof evaluateModel>): EvaluationPlan {
  const { heldOut, minimalPairs, headScores, revisions, seed } = body;
  return { heldOut, minimalPairs, headScores, seed, ...(revisions === undefined ? {} : { revisions }) };
}

/** Hands a job that the catalogue planned to the scheduler. */
export function submitPlanned(
  submit: SubmitJob,
  planned: PlannedJob,
  how: PlannedSubmission,
  tx?: Tx,
): Promise<Result<SubmittedJob, Problem<ProblemCode>>> {
  return submit.execute(
    {
      kind: how.kind,
      name: `${how.kind} ${planned.modelName}`,
      runner: planned.template,
      inputs: planned.inputs,
      resources: planned.resources,
      labId: planned.labId,
      suiteId: planned.suiteId,
      modelId: planned.modelId,
      studyId: how.studyId ?? null,
      priority: 0,
      attemptLimit: how.attemptLimit,
      requestKey: how.requestKey,
      account: how.account,
      // A suite's reservation is the sum of these estimates: holding whole time bounds would never fit into it.
      ...(planned.gpuSecondsEstimate > 0
        ? { gpuSecondsHeld: Math.max(1, Math.floor(planned.gpuSecondsEstimate)) }
        : {}),
      ...how.whenTrained,
      ...(how.replica === undefined ? {} : { replica: how.replica }),
      submittedBy: how.submittedBy,
    },
    tx,
  );
}
