import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import {
  commitImport,
  importModel,
  type ModelFactors,
  type ModelView,
  modelFactorsSchema,
  showLab,
} from '@beamtime/contracts';
import { parse } from 'yaml';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';
import { describeFile, type LocalFile, uploadFile } from './upload-file.js';

export interface ImportOptions {
  readonly factors?: string;
  readonly name?: string;
  readonly private?: boolean;
  readonly lab?: string;
  readonly source?: string;
}

interface RevisionFolder {
  readonly step: number;
  readonly files: readonly (LocalFile & { readonly name: string })[];
}

/** Files that a model folder may hold and that nobody needs to load it. */
const ignored = new Set(['.git', '.cache', '.DS_Store', 'factors.yaml', 'factors.json']);

/**
 * Brings a folder as `save_pretrained` writes it, or a folder with one such folder per revision (`step0`, `step1000` …),
 * into the catalogue.
 */
export async function importFolder(io: CliIo, folder: string, options: ImportOptions): Promise<ModelView> {
  const factors = options.factors === undefined ? {} : readFactors(options.factors);
  const revisions = await revisionsIn(resolve(folder), factors.steps ?? 0);
  const client = io.client();
  const labId =
    options.lab === undefined
      ? undefined
      : (await client.call(showLab, { params: { lab: options.lab } })).labId;
  const announced = await client.call(importModel, {
    body: {
      name: options.name ?? basename(resolve(folder)),
      factors: { ...fromConfig(revisions), ...factors },
      visibility: options.private === true ? 'private' : 'public',
      labId,
      source: options.source,
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

function readFactors(path: string): Partial<ModelFactors> {
  let value: unknown;
  try {
    value = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${(error as Error).message}`);
  }
  const given = Object.keys((value ?? {}) as object);
  const parsed = modelFactorsSchema.strict().safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UsageError(`${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
  }
  return Object.fromEntries(Object.entries(parsed.data).filter(([name]) => given.includes(name)));
}

async function revisionsIn(folder: string, lastStep: number): Promise<RevisionFolder[]> {
  const names = entriesOf(folder);
  const steps = names.flatMap((name) => {
    const step = /^step(\d{1,9})$/.exec(name)?.[1];
    return step === undefined ? [] : [{ step: Number(step), folder: join(folder, name) }];
  });
  const found = steps.length > 0 ? steps : [{ step: lastStep, folder }];
  const revisions: RevisionFolder[] = [];
  for (const one of found) {
    const files = [];
    for (const name of filesBelow(one.folder))
      files.push({ ...(await describeFile(join(one.folder, name))), name });
    if (!files.some((file) => file.name === 'config.json')) {
      throw new UsageError(`${one.folder} has no config.json: it is not a folder that from_pretrained loads`);
    }
    revisions.push({ step: one.step, files });
  }
  return revisions.sort((a, b) => a.step - b.step);
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => !ignored.has(name));
  } catch (error) {
    throw new UsageError(`Cannot read ${folder}: ${(error as Error).message}`);
  }
}

function filesBelow(folder: string, prefix = ''): string[] {
  return entriesOf(join(folder, prefix)).flatMap((name) => {
    const path = prefix === '' ? name : `${prefix}/${name}`;
    return statSync(join(folder, path)).isDirectory() ? filesBelow(folder, path) : [path];
  });
}

const families: Readonly<Record<string, string>> = { gpt_neox: 'gpt-neox' };

/** What config.json itself says of the architecture; the rest stays unknown unless the factors file says it. */
function fromConfig(revisions: readonly RevisionFolder[]): Partial<ModelFactors> {
  const path = revisions.at(-1)?.files.find((file) => file.name === 'config.json')?.path;
  const config = (path === undefined ? {} : parse(readFileSync(path, 'utf8'))) as Record<string, unknown>;
  const number = (...names: readonly string[]): number | null => {
    const found = names.map((name) => config[name]).find((value) => typeof value === 'number');
    return typeof found === 'number' ? found : null;
  };
  const type = typeof config['model_type'] === 'string' ? config['model_type'] : null;
  return {
    family: type === null ? null : (families[type] ?? type),
    layers: number('num_hidden_layers', 'n_layer'),
    hiddenSize: number('hidden_size', 'n_embd'),
    heads: number('num_attention_heads', 'n_head'),
    intermediateSize: number('intermediate_size', 'n_inner'),
    contextTokens: number('max_position_embeddings', 'n_positions'),
    vocabSize: number('vocab_size'),
    objective: type === 'bert' ? 'masked' : null,
  };
}
