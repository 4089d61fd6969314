import { createHash } from 'node:crypto';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CorpusView } from '@beamtime/contracts';
import { err, move, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { OBJECT_STORE, type ObjectStore, type PutProblem, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { CorpusCheck, type CorpusFormat } from './domain/check-lines.js';
import type { TextFault } from './domain/check-text.js';
import { corpusLifecycle } from './domain/lifecycles.js';
import { type CorpusRecord, corpusView } from './postgres/read-corpora.js';

type ReceiveProblem =
  | PutProblem
  | Problem<
      | 'resource.not-found'
      | 'auth.forbidden'
      | 'state.illegal-transition'
      | 'catalogue.invalid-corpus'
      | 'object-store.not-found'
      | 'object-store.bad-range'
    >;

/** Takes the bytes of a registered corpus and makes it usable, if they are what was announced, and what its format promises. */
@Injectable()
export class ReceiveCorpus {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(OBJECT_STORE) private readonly store: ObjectStore,
  ) {}

  /** The bytes come through the facility. */
  async upload(
    corpusId: string,
    personId: string,
    body: Readable,
    sizeBytes: number | undefined,
  ): Promise<Result<CorpusView, ReceiveProblem>> {
    const found = await this.awaited(corpusId, personId);
    if (!found.ok) return found;
    const announced = Number(found.value.size_bytes);
    if (sizeBytes !== undefined && sizeBytes !== announced) {
      return err(sizeMismatch(announced, sizeBytes));
    }
    const checked = new CheckedText(found.value.format);
    body.on('error', (error) => checked.destroy(error));
    // Bytes may fail before the store has begun to read; it then finds the stream broken.
    checked.on('error', () => undefined);
    body.pipe(checked);
    const stored = await this.store
      .put(
        found.value.object_key,
        { stream: checked, sizeBytes: announced },
        { sha256: found.value.sha256, contentType: 'text/plain; charset=utf-8' },
      )
      .catch((error: unknown) => {
        // Either the text was at fault, or the client went away in the middle; all else is ours.
        if (checked.fault === undefined && body.readableEnded) throw error;
        return undefined;
      });
    body.unpipe(checked);
    if (checked.fault !== undefined) return this.settle(found.value, checked.fault);
    if (stored === undefined || !stored.ok) return stored ?? err(sizeMismatch(announced, checked.bytes));
    return this.settle(found.value, checked.verdict());
  }

  /** The bytes were put into the store by a presigned request. */
  async commit(corpusId: string, personId: string): Promise<Result<CorpusView, ReceiveProblem>> {
    const found = await this.awaited(corpusId, personId);
    if (!found.ok) return found;
    const content = await this.store.get(found.value.object_key);
    if (!content.ok) return content;
    const checked = new CheckedText(found.value.format);
    const digest = createHash('sha256');
    checked.on('data', (chunk: Buffer) => digest.update(chunk));
    try {
      await pipeline(content.value.stream, checked);
    } catch (error) {
      if (checked.fault === undefined) throw error;
    }
    if (checked.fault === undefined && digest.digest('hex') !== found.value.sha256) {
      // Whoever put them there announced something else: they may not stay under this hash.
      await this.store.delete(found.value.object_key);
      return err(
        problem(
          'object-store.checksum-mismatch',
          'The bytes do not have the announced SHA-256; upload them again',
        ),
      );
    }
    return this.settle(found.value, checked.verdict());
  }

  private async awaited(corpusId: string, personId: string): Promise<Result<CorpusRecord, ReceiveProblem>> {
    const record = await this.transactor.read.row<CorpusRecord>(
      'SELECT * FROM catalogue.corpus WHERE id = $1',
      [corpusId],
    );
    if (record === undefined) return err(problem('resource.not-found', `There is no corpus ${corpusId}`));
    if (record.uploaded_by !== personId) {
      return err(problem('auth.forbidden', 'Only who registered a corpus brings its bytes'));
    }
    const moved = move(corpusLifecycle, `the corpus ${record.name}`, record.state, 'ready');
    return moved.ok ? ok(record) : moved;
  }

  private async settle(
    record: CorpusRecord,
    fault: TextFault | undefined,
  ): Promise<Result<CorpusView, ReceiveProblem>> {
    const reason = fault === undefined ? null : `at byte ${fault.offset}: ${fault.why}`;
    const settled = await this.transactor.do(async (tx) => {
      const row = await tx.row<CorpusRecord>(
        `UPDATE catalogue.corpus SET state = $2, reason = $3, ready_at = CASE WHEN $3::text IS NULL THEN now() END
         WHERE id = $1 AND state = 'registered' RETURNING *`,
        [record.id, fault === undefined ? 'ready' : 'rejected', reason],
      );
      if (row !== undefined) {
        await tx.audit({
          actor: record.uploaded_by,
          action: fault === undefined ? 'corpus.ready' : 'corpus.rejected',
          subject: record.id,
          details: { sha256: record.sha256, sizeBytes: Number(record.size_bytes) },
        });
      }
      return row ?? (await tx.row<CorpusRecord>('SELECT * FROM catalogue.corpus WHERE id = $1', [record.id]));
    });
    if (fault !== undefined) {
      await this.forget(record);
      return err(
        problem('catalogue.invalid-corpus', `${record.name} is not usable ${record.format}: ${reason}`, {
          offset: fault.offset,
          corpusId: record.id,
        }),
      );
    }
    return ok(corpusView(settled ?? record));
  }

  /** Removes the bytes, unless a corpus of another format has the same and uses them. */
  private async forget(record: CorpusRecord): Promise<void> {
    const used = await this.transactor.read.row(
      `SELECT 1 FROM catalogue.corpus WHERE object_key = $1 AND id <> $2 AND state <> 'rejected'`,
      [record.object_key, record.id],
    );
    if (used === undefined) await this.store.delete(record.object_key);
  }
}

function sizeMismatch(announced: number, got: number): Problem<'object-store.checksum-mismatch'> {
  return problem(
    'object-store.checksum-mismatch',
    `The corpus was announced with ${announced} bytes, and ${got} came; upload it again`,
  );
}

/** Lets bytes through while they are text, and fails at the first that is not. */
class CheckedText extends Transform {
  private readonly check: CorpusCheck;
  bytes = 0;
  fault: TextFault | undefined;

  constructor(format: CorpusFormat) {
    super();
    this.check = new CorpusCheck(format);
  }

  override _transform(
    chunk: Buffer,
    _: BufferEncoding,
    done: (error?: Error | null, data?: Buffer) => void,
  ): void {
    this.bytes += chunk.length;
    this.fault = this.check.take(chunk);
    if (this.fault === undefined) done(null, chunk);
    else done(new Error(this.fault.why));
  }

  override _flush(done: (error?: Error | null) => void): void {
    this.fault = this.check.end();
    done(this.fault === undefined ? null : new Error(this.fault.why));
  }

  verdict(): TextFault | undefined {
    return this.fault;
  }
}
