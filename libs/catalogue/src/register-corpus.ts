import {
  type CorpusView,
  type InputOf,
  type registerCorpus,
  type Upload,
  uploadSchema,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { newId, OBJECT_STORE, type ObjectStore, type PresignedRequest, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import { type CorpusRecord, corpusView } from './postgres/read-corpora.js';

/** Long enough for 5 GiB over a slow line. */
export const uploadTtlMs = 6 * 60 * 60 * 1_000;

export type NewCorpus = InputOf<typeof registerCorpus>['body'];

/** Equal text is stored once, whatever it is called. */
export function corpusKey(sha256: string): string {
  return `corpora/${sha256.slice(0, 2)}/${sha256}`;
}

/** Announces a corpus and says where its bytes may be put. Announcing the same again answers the same corpus. */
@Injectable()
export class RegisterCorpus {
  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(OBJECT_STORE) private readonly store: ObjectStore,
  ) {}

  async execute(
    corpus: NewCorpus,
    personId: string,
  ): Promise<
    Result<
      { corpus: CorpusView; upload: Upload | null },
      Problem<'catalogue.invalid-corpus' | 'resource.exists' | 'object-store.bad-key'>
    >
  > {
    if (corpus.sizeBytes === 0) {
      return err(
        problem('catalogue.invalid-corpus', `${corpus.name} is empty: there is nothing to train on`),
      );
    }
    const record = await this.transactor.do(async (tx) => {
      await tx.rows(
        `INSERT INTO catalogue.corpus
           (id, name, description, language, script, format, size_bytes, sha256, object_key, lab_id, uploaded_by, state, ready_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN here THEN 'ready' ELSE 'registered' END,
           CASE WHEN here THEN now() END
         FROM (SELECT EXISTS (SELECT 1 FROM catalogue.corpus WHERE sha256 = $8 AND format = $6 AND state = 'ready') AS here) x
         ON CONFLICT (name) DO NOTHING`,
        [
          newId('Corpus'),
          corpus.name,
          corpus.description,
          corpus.language,
          corpus.script,
          corpus.format,
          corpus.sizeBytes,
          corpus.sha256,
          corpusKey(corpus.sha256),
          corpus.labId ?? null,
          personId,
        ],
      );
      return tx.row<CorpusRecord>('SELECT * FROM catalogue.corpus WHERE name = $1', [corpus.name]);
    });
    if (record === undefined || !isSame(record, corpus)) {
      return err(
        problem(
          'resource.exists',
          `There is another corpus named ${corpus.name}; a corpus never changes, so give the new one a name of its own`,
          { corpusId: record?.id },
        ),
      );
    }
    if (record.state !== 'registered') return ok({ corpus: corpusView(record), upload: null });
    const signed = await this.store.presignPut(record.object_key, {
      ttlMs: uploadTtlMs,
      sizeBytes: corpus.sizeBytes,
      sha256: corpus.sha256,
    });
    if (!signed.ok) return signed;
    return ok({ corpus: corpusView(record), upload: uploadOf(signed.value) });
  }
}

function isSame(record: CorpusRecord, corpus: NewCorpus): boolean {
  return (
    record.sha256 === corpus.sha256 &&
    record.language === corpus.language &&
    record.script === corpus.script &&
    record.format === corpus.format
  );
}

export function uploadOf(signed: PresignedRequest): Upload {
  return uploadSchema.parse({
    method: 'PUT',
    url: signed.url,
    headers: signed.headers,
    expiresAt: signed.expiresAt.toISOString(),
  });
}
