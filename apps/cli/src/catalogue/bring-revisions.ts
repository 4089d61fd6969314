import { commitImport, importModel, type ModelFactors, type ModelView, showLab } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { factorsOfFiles, readFactorsFile } from './read-factors.js';
import { type LocalFile, uploadFile } from './upload-file.js';

export interface ImportOptions {
  readonly factors?: string;
  readonly name?: string;
  readonly private?: boolean;
  readonly lab?: string;
  readonly source?: string;
}

/** A revision on this machine: as `from_pretrained` loads it, each file by its name there. */
export interface LocalRevision {
  readonly step: number;
  readonly files: readonly (LocalFile & { readonly name: string })[];
}

/** The factors file of an import, read before anything is hashed or downloaded. */
export function givenFactors(io: CliIo, options: ImportOptions): Partial<ModelFactors> {
  return options.factors === undefined ? {} : readFactorsFile(options.factors, io.cwd);
}

/** Brings revisions into the catalogue: describes them, uploads what the store lacks, commits. Again goes on. */
export async function bringRevisions(
  io: CliIo,
  revisions: readonly LocalRevision[],
  model: {
    readonly name: string;
    readonly factors: Partial<ModelFactors>;
    readonly source: string | undefined;
    readonly private: boolean;
    readonly lab: string | undefined;
  },
): Promise<ModelView> {
  const client = io.client();
  const { lab } = model;
  const announced = await client.call(importModel, {
    body: {
      name: model.name,
      factors: { ...factorsOfFiles(revisions.at(-1)?.files ?? []), ...model.factors },
      visibility: model.private ? 'private' : 'public',
      labId: lab === undefined ? undefined : (await client.call(showLab, { params: { lab } })).labId,
      source: model.source,
      revisions: revisions.map(({ step, files }) => ({
        step,
        files: files.map(({ name, sizeBytes, sha256 }) => ({ path: name, sizeBytes, sha256 })),
      })),
    },
  });
  const files = new Map(revisions.flatMap((one) => one.files).map((file) => [file.sha256, file]));
  const missing = announced.uploads.filter((one) => one.upload !== null);
  const bar = io.progress(`Uploading ${announced.name}`, missing.length);
  for (const [index, { sha256, upload }] of missing.entries()) {
    const file = files.get(sha256);
    if (file !== undefined && upload !== null) await uploadFile(file, upload);
    bar.at(index + 1, file?.name ?? '');
  }
  bar.done();
  return client.call(commitImport, { params: { model: announced.modelId } });
}
