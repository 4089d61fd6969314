import type { PlannedJob } from '@beamtime/catalogue';
import type { GpuAccountRef, ProblemCode } from '@beamtime/contracts';
import type { Problem, Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { SubmitJob, SubmittedJob } from '@beamtime/scheduling';

export interface PlannedSubmission {
  readonly kind: 'train' | 'evaluate' | 'serve';
  readonly account: GpuAccountRef;
  readonly studyId?: string | undefined;
  readonly attemptLimit: number;
  readonly requestKey: string | null;
  readonly submittedBy: string;
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
      submittedBy: how.submittedBy,
    },
    tx,
  );
}
