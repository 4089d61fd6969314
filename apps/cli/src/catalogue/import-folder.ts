import { readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { ModelView } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';
import { bringRevisions, givenFactors, type ImportOptions, type LocalRevision } from './bring-revisions.js';
import { describeFile } from './upload-file.js';

/** Files that a model folder may hold and that nobody needs to load it. */
const ignored = new Set(['.git', '.cache', '.DS_Store', 'factors.yaml', 'factors.json']);

/**
 * Brings a folder as `save_pretrained` writes it, or a folder with one such folder per revision (`step0`, `step1000` …),
 * into the catalogue.
 */
export async function importFolder(io: CliIo, folder: string, options: ImportOptions): Promise<ModelView> {
  const factors = givenFactors(io, options);
  const revisions = await revisionsIn(resolve(io.cwd, folder), factors.steps ?? 0);
  return bringRevisions(io, revisions, {
    name: options.name ?? basename(resolve(io.cwd, folder)),
    factors,
    source: options.source,
    private: options.private === true,
    lab: options.lab,
  });
}

async function revisionsIn(folder: string, lastStep: number): Promise<LocalRevision[]> {
  const steps = entriesOf(folder).flatMap((name) => {
    const step = /^step(\d{1,9})$/.exec(name)?.[1];
    return step === undefined ? [] : [{ step: Number(step), folder: join(folder, name) }];
  });
  const found = steps.length > 0 ? steps : [{ step: lastStep, folder }];
  const revisions: LocalRevision[] = [];
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
