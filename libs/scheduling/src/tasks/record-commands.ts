import {
  type BodyOf,
  type commitOutputs,
  type ProblemCode,
  partsOfSpaceUrl,
  type reportCommands,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { objectKeyOf } from '../agent/commit-files.js';
import { type AttemptClaim, holdAttempt } from '../agent/fence.js';
import { JOB_FILES, type JobFiles } from '../ports.js';
import { appendHistory } from '../postgres/job-records.js';
import { nameFiles } from './spaces.js';

type Refused = Problem<ProblemCode>;
type Report = BodyOf<typeof reportCommands>;
type Output = BodyOf<typeof commitOutputs>['outputs'][number];
/** Looks into the object store at the same time. */
const parallelLooks = 8;

/** Takes in what an agent says of the commands of an attempt. */
@Injectable()
export class RecordCommands {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(JOB_FILES) private readonly files: JobFiles,
  ) {}

  /** Keeps the newest report; one that was overtaken changes nothing. */
  report(claim: AttemptClaim, report: Report): Promise<Result<{ taken: boolean }, Refused>> {
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const { seq, results, failedIndex, notices, hostName } = report;
      const rows = await tx.rows(
        `INSERT INTO scheduling.command_log AS l (job_id, attempt, seq, command_failed, report) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (job_id, attempt) DO UPDATE SET seq = excluded.seq, command_failed = excluded.command_failed,
           report = excluded.report WHERE l.seq < excluded.seq
         RETURNING seq`,
        [
          claim.jobId,
          claim.attempt,
          seq,
          failedIndex !== null,
          // PostgreSQL's JSON holds anything but NUL; the API has put U+FFFD in its place.
          JSON.stringify({ results, notices, hostName }),
        ],
      );
      return ok({ taken: rows.length > 0 });
    });
  }

  /** All outputs become files of the task's space in one step, or none does: a reader never sees half of them. */
  async commit(
    claim: AttemptClaim,
    outputs: readonly Output[],
  ): Promise<Result<{ committed: boolean }, Refused>> {
    const stored = outputs.filter((output) => partsOfSpaceUrl(output.url) !== undefined);
    const missing = await this.firstMissing(claim, stored);
    if (missing !== undefined) return err(missing);
    return this.transactor.run<{ committed: boolean }, Refused>(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const task = await tx.row<{ space: string }>('SELECT space FROM scheduling.task WHERE job_id = $1', [
        claim.jobId,
      ]);
      if (task === undefined)
        return err(problem('auth.forbidden', `${claim.jobId} is no task and has no outputs of this kind`));
      const foreign = stored.find((output) => partsOfSpaceUrl(output.url)?.space !== task.space);
      if (foreign !== undefined)
        return err(problem('auth.forbidden', `${foreign.url} is not in the space of this task`));
      const byPath = new Map(stored.map((output) => [partsOfSpaceUrl(output.url)?.path ?? '', output]));
      if (byPath.size > 0) {
        const full = await nameFiles(
          tx,
          task.space,
          [...byPath].map(([path, { sizeBytes, sha256 }]) => ({
            path,
            sizeBytes,
            sha256,
            objectKey: objectKeyOf(claim, sha256),
            jobId: claim.jobId,
          })),
        );
        if (full !== undefined) return err(full);
      }
      await tx.rows(
        `INSERT INTO scheduling.command_log AS l (job_id, attempt, outputs) VALUES ($1, $2, $3)
         ON CONFLICT (job_id, attempt) DO UPDATE SET outputs = excluded.outputs`,
        [
          claim.jobId,
          claim.attempt,
          JSON.stringify(outputs.map(({ path, url, sizeBytes }) => ({ path, url, sizeBytes }))),
        ],
      );
      await appendHistory(tx, {
        jobId: claim.jobId,
        attempt: claim.attempt,
        subject: 'note',
        from: null,
        to: 'outputs',
        actor: claim.clusterId,
        reason: `${outputs.length} files`,
      });
      return ok({ committed: true });
    });
  }

  private async firstMissing(claim: AttemptClaim, outputs: readonly Output[]): Promise<Refused | undefined> {
    for (let at = 0; at < outputs.length; at += parallelLooks) {
      const faults = await Promise.all(
        outputs.slice(at, at + parallelLooks).map(async (output) => {
          const there = await this.files.find(objectKeyOf(claim, output.sha256));
          if (there === null)
            return problem('object-store.not-found', `${output.path} has not been uploaded`);
          const same =
            there.sizeBytes === output.sizeBytes && (there.sha256 === null || there.sha256 === output.sha256);
          return same
            ? undefined
            : problem('object-store.checksum-mismatch', `${output.path} is not what was announced`);
        }),
      );
      const fault = faults.find((one) => one !== undefined);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
}
