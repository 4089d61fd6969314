import { type LogChunk, type ProblemCode, schedulingLimits } from '@beamtime/contracts';
import { ok, type Problem, type Result } from '@beamtime/kernel';
import { Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type AttemptClaim, holdAttempt } from './fence.js';

/** Keeps what a program printed, up to a limit per attempt; a chunk that is known changes nothing. */
@Injectable()
export class RecordLogs {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  execute(
    claim: AttemptClaim,
    chunks: readonly LogChunk[],
  ): Promise<Result<{ keptBytes: number; limitBytes: number }, Problem<ProblemCode>>> {
    const limitBytes = schedulingLimits.logBytesPerAttempt;
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      let keptBytes = Number(held.value.attempt.log_bytes);
      let dropped = 0;
      for (const chunk of chunks) {
        // PostgreSQL's text holds anything but NUL.
        const text = chunk.text.replaceAll('\0', '\uFFFD');
        const bytes = Buffer.byteLength(text);
        if (keptBytes + bytes > limitBytes) {
          dropped += bytes;
          continue;
        }
        const added = await tx.rows(
          `INSERT INTO scheduling.job_log (job_id, attempt, seq, offset_bytes, stream, text)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING seq`,
          [claim.jobId, claim.attempt, chunk.seq, chunk.offset, chunk.stream, text],
        );
        if (added.length > 0) keptBytes += bytes;
      }
      await tx.rows(
        `UPDATE scheduling.attempt SET log_bytes = $3, log_bytes_dropped = log_bytes_dropped + $4
         WHERE job_id = $1 AND number = $2`,
        [claim.jobId, claim.attempt, keptBytes, dropped],
      );
      return ok({ keptBytes, limitBytes });
    });
  }
}
