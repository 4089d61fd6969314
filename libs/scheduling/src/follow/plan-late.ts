import type { FileEntry, ProblemCode, RunnerTemplate } from '@beamtime/contracts';
import { isTerminal, type Problem, present, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { jobLifecycle } from '../domain/job-lifecycle.js';
import { EndAttempt } from '../jobs/end-attempt.js';
import { lockJobs } from '../postgres/job-records.js';
import { unblock } from './release-followers.js';

export interface PlannedWork {
  readonly runner: RunnerTemplate;
  readonly inputs: readonly FileEntry[];
}

/** Gives jobs that were submitted before their model was trained the work that they are to do. */
@Injectable()
export class PlanLate {
  constructor(@Inject(EndAttempt) private readonly endAttempt: EndAttempt) {}

  /**
   * All jobs of the model whose work is not planned; a second time finds none. One that cannot be planned has failed,
   * with the reason.
   *
   * @param plan from what the job was submitted with, `JobSubmission.unplanned`
   */
  async execute(
    tx: Tx,
    modelId: string,
    plan: (unplanned: unknown) => Promise<Result<PlannedWork, Problem<ProblemCode>>>,
  ): Promise<void> {
    const rows = await tx.rows<{ id: string; unplanned: unknown }>(
      `SELECT id, unplanned FROM scheduling.job
       WHERE model_id = $1 AND state = 'queued' AND unplanned IS NOT NULL ORDER BY id`,
      [modelId],
    );
    const locked = await lockJobs(
      tx,
      rows.map((row) => row.id),
    );
    for (const { id, unplanned } of rows) {
      const job = present(locked.get(id), 'a job that waits for its model');
      if (isTerminal(jobLifecycle, job.state)) continue;
      const planned = await plan(unplanned);
      if (!planned.ok) {
        await this.endAttempt.endJob(tx, job, 'failed', planned.error.detail, 'scheduler');
        continue;
      }
      // The jobs that it follows may have another training among them, which blocks it still.
      const given = await tx.changed(
        `UPDATE scheduling.job SET runner = $2, inputs = $3, unplanned = NULL
         WHERE id = $1 AND unplanned IS NOT NULL`,
        [id, JSON.stringify(planned.value.runner), JSON.stringify(planned.value.inputs)],
      );
      if (given === 1) await unblock(tx, [{ jobId: id, n: 1 }]);
    }
  }
}
