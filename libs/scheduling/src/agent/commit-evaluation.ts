import type { BodyOf, commitEvaluation, ProblemCode } from '@beamtime/contracts';
import { isId, ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type AttemptClaim, holdAttempt } from './fence.js';

/** `mdl_…@step8` or, in a job of one model, `step8`. */
export function readRevision(
  revision: string,
  modelOfJob: string | null,
): { modelId: string; step: number } | null {
  const at = revision.lastIndexOf('@');
  const modelId = at < 0 ? modelOfJob : revision.slice(0, at);
  const step = /^step(\d{1,15})$/.exec(revision.slice(at + 1))?.[1];
  if (modelId === null || !isId('Model', modelId) || step === undefined) return null;
  return { modelId, step: Number(step) };
}

/** Results of one revision: kept and told once per job, however often they are reported. */
@Injectable()
export class CommitEvaluation {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(
    claim: AttemptClaim,
    evaluation: BodyOf<typeof commitEvaluation>,
  ): Promise<Result<{ committed: boolean }, Problem<ProblemCode>>> {
    return this.transactor.run<{ committed: boolean }, Problem<ProblemCode>>(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const { job } = held.value;
      const added = await tx.rows(
        `INSERT INTO scheduling.evaluation (job_id, revision, attempt) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING RETURNING revision`,
        [claim.jobId, evaluation.revision, claim.attempt],
      );
      if (added.length === 0) return ok({ committed: false });
      const of = readRevision(evaluation.revision, job.model_id);
      if (of !== null) {
        await tx.record('evaluation.reported', {
          jobId: claim.jobId,
          attempt: claim.attempt,
          studyId: job.study_id,
          modelId: of.modelId,
          step: of.step,
          results: { evaluations: evaluation.results, receipt: evaluation.receipt },
          at: new Date().toISOString(),
        });
      }
      return ok({ committed: true });
    });
  }
}
