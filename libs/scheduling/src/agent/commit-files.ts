import type {
  BodyOf,
  commitArtifact,
  commitCheckpoint,
  commitResumable,
  FileEntry,
  ProblemCode,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { JOB_FILES, type JobFiles } from '../ports.js';
import { appendHistory } from '../postgres/job-records.js';
import { type AttemptClaim, type HeldAttempt, holdAttempt } from './fence.js';

/** Bytes that one attempt may put into the store: far above all checkpoints of a 7B model, far below a full store. */
export const uploadBytesPerAttempt = 4 * 1024 ** 4;
/** Looks into the object store at the same time. */
const parallelLooks = 8;

type Refused = Problem<ProblemCode>;
type FileSpec = { readonly sha256: string; readonly sizeBytes: number };
export interface GrantedUpload {
  readonly sha256: string;
  readonly objectKey: string;
  readonly upload: { readonly url: string; readonly headers: Record<string, string> } | null;
}

/** An attempt writes under its own number only, so a superseded one cannot touch what its successor stores. */
export function objectKeyOf(claim: Pick<AttemptClaim, 'jobId' | 'attempt'>, sha256: string): string {
  return `jobs/${claim.jobId}/${claim.attempt}/${sha256}`;
}

/** Files of an attempt on their way into the object store, and what they become once they are there. */
@Injectable()
export class CommitFiles {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(JOB_FILES) private readonly files: JobFiles,
  ) {}

  /** Leave to upload; files that the store has already need none. */
  async grantUploads(
    claim: AttemptClaim,
    wanted: readonly FileSpec[],
  ): Promise<Result<GrantedUpload[], Refused>> {
    const total = wanted.reduce((sum, file) => sum + file.sizeBytes, 0);
    const admitted = await this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const row = await tx.row<{ upload_bytes: string }>(
        `UPDATE scheduling.attempt SET upload_bytes = upload_bytes + $3 WHERE job_id = $1 AND number = $2
         RETURNING upload_bytes`,
        [claim.jobId, claim.attempt, total],
      );
      if (Number(row?.upload_bytes ?? 0) > uploadBytesPerAttempt) {
        return err(
          problem(
            'limit.exceeded',
            `One attempt may store up to ${uploadBytesPerAttempt} bytes; these are more`,
          ),
        );
      }
      return ok(undefined);
    });
    if (!admitted.ok) return admitted;
    return ok(
      await inBatches(wanted, async (file) => {
        const objectKey = objectKeyOf(claim, file.sha256);
        const there = await this.files.find(objectKey);
        const upload =
          there?.sizeBytes === file.sizeBytes ? null : await this.files.uploadUrl(objectKey, file);
        return {
          sha256: file.sha256,
          objectKey,
          upload: upload === null ? null : { url: upload.url, headers: { ...upload.headers } },
        };
      }),
    );
  }

  async commitCheckpoint(
    claim: AttemptClaim,
    checkpoint: BodyOf<typeof commitCheckpoint>,
  ): Promise<Result<{ committed: boolean }, Refused>> {
    const files = await this.verify(claim, checkpoint.files);
    if (!files.ok) return files;
    return this.transactor.run<{ committed: boolean }, Refused>(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const known = await tx.row<{ weights_sha256: string; attempt: number }>(
        'SELECT weights_sha256, attempt FROM scheduling.checkpoint WHERE job_id = $1 AND step = $2',
        [claim.jobId, checkpoint.step],
      );
      if (known !== undefined) {
        await this.noteDivergence(tx, claim, checkpoint.step, known, checkpoint.weightsSha256);
        return ok({ committed: false });
      }
      await this.keepCheckpoint(tx, claim, held.value, checkpoint, files.value);
      return ok({ committed: true });
    });
  }

  private async keepCheckpoint(
    tx: Tx,
    claim: AttemptClaim,
    held: HeldAttempt,
    checkpoint: BodyOf<typeof commitCheckpoint>,
    files: FileEntry[],
  ): Promise<void> {
    await tx.rows(
      `INSERT INTO scheduling.checkpoint (job_id, step, attempt, revision, weights_sha256, chain_sha256)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [
        claim.jobId,
        checkpoint.step,
        claim.attempt,
        checkpoint.revision,
        checkpoint.weightsSha256,
        checkpoint.chainSha256,
      ],
    );
    await tx.rows(
      `UPDATE scheduling.job SET checkpoints = checkpoints + 1, updated_at = now(),
         last_checkpoint_step = greatest(coalesce(last_checkpoint_step, 0), $2::bigint) WHERE id = $1`,
      [claim.jobId, checkpoint.step],
    );
    await appendHistory(tx, {
      jobId: claim.jobId,
      attempt: claim.attempt,
      subject: 'note',
      from: null,
      to: 'checkpoint',
      actor: claim.clusterId,
      reason: `step ${checkpoint.step}, weights ${checkpoint.weightsSha256}`,
    });
    if (held.job.model_id === null) return;
    await tx.record('attempt.checkpoint-committed', {
      jobId: claim.jobId,
      attempt: claim.attempt,
      clusterId: claim.clusterId,
      modelId: held.job.model_id,
      step: checkpoint.step,
      tokensSeen: checkpoint.tokensSeen,
      bytesSeen: checkpoint.bytesSeen,
      loss: checkpoint.loss,
      weightsSha256: checkpoint.weightsSha256,
      chainSha256: checkpoint.chainSha256,
      files,
      at: new Date().toISOString(),
    });
  }

  /** A step that two attempts reached must have the same weights; where it has not, everyone should see it. */
  private async noteDivergence(
    tx: Tx,
    claim: AttemptClaim,
    step: number,
    known: { weights_sha256: string; attempt: number },
    weightsSha256: string,
  ): Promise<void> {
    if (known.weights_sha256 === weightsSha256) return;
    await appendHistory(tx, {
      jobId: claim.jobId,
      attempt: claim.attempt,
      subject: 'note',
      from: null,
      to: 'diverged',
      actor: 'scheduler',
      reason: `step ${step}: attempt ${known.attempt} has weights ${known.weights_sha256}, attempt ${claim.attempt} ${weightsSha256}; the first stays`,
    });
  }

  async commitResumable(
    claim: AttemptClaim,
    resumable: BodyOf<typeof commitResumable>,
  ): Promise<Result<{ committed: boolean }, Refused>> {
    const files = await this.verify(claim, resumable.files);
    if (!files.ok) return files;
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const changed = await tx.changed(
        `UPDATE scheduling.job SET resumable = $2, resumable_step = $3, updated_at = now()
         WHERE id = $1 AND (resumable_step IS NULL OR resumable_step < $3)`,
        [
          claim.jobId,
          JSON.stringify({
            step: resumable.step,
            attempt: claim.attempt,
            chainSha256: resumable.chainSha256,
            files: files.value,
          }),
          resumable.step,
        ],
      );
      return ok({ committed: changed > 0 });
    });
  }

  async commitArtifact(
    claim: AttemptClaim,
    artifact: BodyOf<typeof commitArtifact>,
  ): Promise<Result<{ objectKey: string }, Refused>> {
    const files = await this.verify(claim, [artifact.file]);
    if (!files.ok) return files;
    return this.transactor.run(async (tx) => {
      const held = await holdAttempt(tx, claim);
      if (!held.ok) return held;
      const row = await tx.row<{ object_key: string }>(
        `INSERT INTO scheduling.artifact (job_id, name, attempt, media_type, object_key, size_bytes, sha256)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (job_id, name) DO UPDATE SET attempt = excluded.attempt, media_type = excluded.media_type,
           object_key = excluded.object_key, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
           committed_at = now()
         RETURNING object_key`,
        [
          claim.jobId,
          artifact.name,
          claim.attempt,
          artifact.mediaType,
          objectKeyOf(claim, artifact.file.sha256),
          artifact.file.sizeBytes,
          artifact.file.sha256,
        ],
      );
      return ok({ objectKey: row?.object_key ?? '' });
    });
  }

  /** Every file is in the store with the size, and where the store knows it the digest, that was announced. */
  private async verify(
    claim: AttemptClaim,
    files: readonly (FileSpec & { readonly path: string })[],
  ): Promise<Result<FileEntry[], Refused>> {
    const faults: Refused[] = [];
    const entries = await inBatches(files, async (file) => {
      const objectKey = objectKeyOf(claim, file.sha256);
      const there = await this.files.find(objectKey);
      if (there === null) {
        faults.push(problem('object-store.not-found', `${file.path} has not been uploaded`));
      } else if (
        there.sizeBytes !== file.sizeBytes ||
        (there.sha256 !== null && there.sha256 !== file.sha256)
      ) {
        faults.push(problem('object-store.checksum-mismatch', `${file.path} is not what was announced`));
      }
      return { path: file.path, sizeBytes: file.sizeBytes, sha256: file.sha256, objectKey };
    });
    const [fault] = faults;
    return fault === undefined ? ok(entries) : err(fault);
  }
}

async function inBatches<T, U>(items: readonly T[], work: (item: T) => Promise<U>): Promise<U[]> {
  const done: U[] = [];
  for (let at = 0; at < items.length; at += parallelLooks) {
    done.push(...(await Promise.all(items.slice(at, at + parallelLooks).map(work))));
  }
  return done;
}
