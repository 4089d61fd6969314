import type { FileEntry } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { CorpusFormat } from '../domain/check-lines.js';
import { behaviourOnly, isClosed, noModel } from '../find-models.js';
import type { CorpusRecord } from '../postgres/read-corpora.js';
import {
  findRevision,
  type ModelRecord,
  type RevisionRecord,
  readModels,
  readRevisions,
} from '../postgres/read-models.js';
import { everything } from '../viewer.js';
import type { PlanProblem } from './planned-job.js';

export function corpusFile(
  corpora: ReadonlyMap<string, CorpusRecord>,
  corpusId: string,
  path: string,
): FileEntry[] {
  const corpus = corpora.get(corpusId);
  if (corpus === undefined) return [];
  return [
    { path, sizeBytes: Number(corpus.size_bytes), sha256: corpus.sha256, objectKey: corpus.object_key },
  ];
}

export function revisionInput(revision: RevisionRecord): Record<string, unknown> {
  const name = `step${revision.step}`;
  return {
    revision: name,
    path: `revisions/${name}`,
    ...(revision.weights_sha256 === null ? {} : { weightsSha256: revision.weights_sha256 }),
  };
}

export function revisionFiles(revision: RevisionRecord): FileEntry[] {
  return revision.files.map((file) => ({ ...file, path: `revisions/step${revision.step}/${file.path}` }));
}

/** The corpora by what they were called, an id or a name; all of them must be there, ready, and of a format that serves. */
export async function readyCorpora(
  tx: Tx,
  refs: readonly string[],
  formats: readonly CorpusFormat[] = ['text', 'jsonl', 'pairs'],
): Promise<Result<ReadonlyMap<string, CorpusRecord>, PlanProblem>> {
  const records = await tx.rows<CorpusRecord>(
    'SELECT * FROM catalogue.corpus WHERE id = ANY($1) OR name = ANY($1)',
    [[...refs]],
  );
  const byRef = new Map<string, CorpusRecord>();
  for (const ref of refs) {
    const corpus =
      records.find((record) => record.id === ref) ?? records.find((record) => record.name === ref);
    if (corpus?.state !== 'ready') return err(notReady(ref, corpus));
    if (!formats.includes(corpus.format)) return err(wrongFormat(corpus, formats));
    byRef.set(ref, corpus);
  }
  return ok(byRef);
}

function notReady(ref: string, corpus: CorpusRecord | undefined): PlanProblem {
  const why =
    corpus === undefined
      ? 'is not registered'
      : corpus.state === 'registered'
        ? 'has not been uploaded'
        : `was rejected: ${corpus.reason ?? ''}`;
  return problem('catalogue.invalid-corpus', `The corpus ${ref} ${why}`, { corpusId: corpus?.id ?? ref });
}

function wrongFormat(corpus: CorpusRecord, formats: readonly CorpusFormat[]): PlanProblem {
  return problem(
    'catalogue.invalid-corpus',
    `The corpus ${corpus.name} is of format ${corpus.format}; this takes ${formats.join(' or ')}`,
    { corpusId: corpus.id },
  );
}

/** A model with weights, and those of its revisions that are named; all when none is. */
export async function loadable(
  tx: Tx,
  modelId: string,
  names: readonly string[] | undefined,
): Promise<Result<{ model: ModelRecord; revisions: RevisionRecord[] }, PlanProblem>> {
  const [model] = await readModels(tx, everything, { models: [modelId], limit: 1 });
  if (model === undefined) return err(noModel(modelId));
  if (isClosed(model)) return err(behaviourOnly(model.name));
  if (model.revisions === 0) {
    return err(problem('catalogue.not-loadable', `${model.name} is ${model.state} and has no weights yet`));
  }
  if (names === undefined) return ok({ model, revisions: await readRevisions(tx, model.id) });
  const chosen = new Map<number, RevisionRecord>();
  for (const name of names) {
    const revision = await findRevision(tx, model.id, name);
    if (revision === undefined) {
      return err(problem('resource.not-found', `${model.name} has no revision ${name}`, { revision: name }));
    }
    chosen.set(revision.step, revision);
  }
  return ok({ model, revisions: [...chosen.values()].sort((a, b) => a.step - b.step) });
}
