import { mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { catalogueLimits, type ModelView } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';
import { bringRevisions, givenFactors, type ImportOptions, type LocalRevision } from './bring-revisions.js';
import { HubClient, type HubFile } from './hub-client.js';

export interface HubImportOptions extends ImportOptions {
  readonly revisions?: readonly string[];
  readonly allRevisions?: boolean;
  readonly pickledWeights?: boolean;
  readonly cache?: string;
}

const publicHub = 'https://huggingface.co';
const bytesPerMebibyte = 1024 ** 2;

/** A revision of the hub and the step that it becomes here. */
interface WantedRevision {
  readonly name: string;
  readonly step: number;
}

/** `gpt2`, `EleutherAI/pythia-70m`: what the hub takes as an id, and what is not a path. */
export function isHubId(text: string): boolean {
  return text.length <= 96 && /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(text);
}

/**
 * Brings a model of a hub (HF_ENDPOINT, HF_TOKEN) into the catalogue. Files are downloaded once per content, checked,
 * and kept until the import is done: the same call again goes on where it stopped.
 */
export async function importFromHub(io: CliIo, ref: string, options: HubImportOptions): Promise<ModelView> {
  const factors = givenFactors(io, options);
  const hub = new HubClient(io.env['HF_ENDPOINT'] ?? publicHub, io.env['HF_TOKEN']);
  const { id, commit: mainCommit } = await hub.pin(ref, 'main');
  const wanted = await chooseRevisions(hub, id, options, factors.steps ?? undefined);
  const blobs = join(cacheFolder(io, options), new URL(hub.endpoint).host, id.replaceAll('/', '--'));
  mkdirSync(blobs, { recursive: true });
  const listed = [];
  for (const { name, step } of wanted) {
    const commit = name === 'main' ? mainCommit : (await hub.pin(id, name)).commit;
    const files = chooseFiles(
      `${id} at ${name}`,
      await hub.files(id, commit),
      options.pickledWeights === true,
    );
    listed.push({ step, commit, files });
  }
  const revisions = await downloadAll(io, hub, id, listed, blobs);
  const last = listed.at(-1);
  const imported = await bringRevisions(io, revisions, {
    name: options.name ?? id.split('/').at(-1) ?? id,
    factors,
    source: options.source ?? `${hub.endpoint}/${id}@${last?.commit ?? mainCommit}`,
    private: options.private === true,
    lab: options.lab,
  });
  // The facility has them now.
  rmSync(blobs, { recursive: true, force: true });
  return imported;
}

async function downloadAll(
  io: CliIo,
  hub: HubClient,
  id: string,
  listed: readonly { readonly step: number; readonly commit: string; readonly files: readonly HubFile[] }[],
  blobs: string,
): Promise<LocalRevision[]> {
  const contents = new Map(listed.flatMap(({ files }) => files).map((file) => [file.oid, file.sizeBytes]));
  const mebibytes = (bytes: number): number => Math.round(bytes / bytesPerMebibyte);
  const total = [...contents.values()].reduce((sum, size) => sum + size, 0);
  const bar = io.progress(`Downloading ${id} (MiB)`, Math.max(1, mebibytes(total)));
  const there = new Map<string, number>();
  const revisions: LocalRevision[] = [];
  for (const { step, commit, files } of listed) {
    const local = [];
    for (const file of files) {
      const onBytes = (count: number): void => {
        there.set(file.oid, count);
        const sum = [...there.values()].reduce((bytes, one) => bytes + one, 0);
        bar.at(mebibytes(sum), `step${step} ${file.path}`);
      };
      const found = await hub.download(id, commit, file, join(blobs, file.oid), onBytes);
      local.push({ ...found, name: file.path });
    }
    revisions.push({ step, files: local });
  }
  bar.done();
  return revisions;
}

function cacheFolder(io: CliIo, options: HubImportOptions): string {
  if (options.cache !== undefined) return resolve(io.cwd, options.cache);
  const base = io.env['XDG_CACHE_HOME'] ?? join(io.env['HOME'] ?? homedir(), '.cache');
  return join(base, 'beamtime', 'hub');
}

/** The revisions asked for with their steps, in the order of these. */
async function chooseRevisions(
  hub: HubClient,
  id: string,
  options: HubImportOptions,
  lastStep: number | undefined,
): Promise<WantedRevision[]> {
  if (options.allRevisions !== true) return withSteps(options.revisions ?? ['main'], lastStep);
  const refs = await hub.refs(id);
  const main = refs.find((ref) => ref.name === 'main');
  const numbered = refs.filter((ref) => stepIn(ref.name) !== undefined);
  // `main` is usually one of the others under a second name.
  const isExtra = main !== undefined && !numbered.some((ref) => ref.commit === main.commit);
  const names = [...numbered.map((ref) => ref.name), ...(isExtra && lastStep !== undefined ? ['main'] : [])];
  return withSteps(names.length === 0 ? ['main'] : names, lastStep);
}

/** `step1000`, or `step1000-tokens2B` as some labs have it. */
function stepIn(name: string): number | undefined {
  const step = /(?:^|-)step(\d{1,9})(?:-|$)/.exec(name)?.[1];
  return step === undefined ? undefined : Number(step);
}

/** Steps by the names of revisions: said with NAME=STEP, or in the name; of `main`, by the factor `steps`. */
export function withSteps(refs: readonly string[], lastStep: number | undefined): WantedRevision[] {
  const wanted = refs.map((ref): WantedRevision => {
    const [, name = ref, said] = /^(.+)=(\d{1,9})$/.exec(ref) ?? [];
    if (said !== undefined) return { name, step: Number(said) };
    const step =
      stepIn(name) ?? (name === 'main' ? (lastStep ?? (refs.length === 1 ? 0 : undefined)) : undefined);
    if (step === undefined) {
      throw new UsageError(
        `--revisions ${name}: say after which step it was saved, as ${name}=1000${name === 'main' ? ', or "steps" in the factors file' : ''}`,
      );
    }
    return { name, step };
  });
  const bySteps = new Map<number, string>();
  for (const { name, step } of wanted) {
    const other = bySteps.get(step);
    if (other !== undefined) throw new UsageError(`--revisions: ${other} and ${name} are both step ${step}`);
    bySteps.set(step, name);
  }
  if (wanted.length > catalogueLimits.revisionsPerImport) {
    throw new UsageError(
      `--revisions: ${wanted.length} are more than the ${catalogueLimits.revisionsPerImport} of one model`,
    );
  }
  return wanted.sort((a, b) => a.step - b.step);
}

const textFile = /^[^./][^/]*\.(json|txt|model|jinja|md)$|^LICENSE[^/]*$/;
const wholeWeights = 'model.safetensors';
const shardOfWeights = /^model-\d{5}-of-\d{5}\.safetensors$/;
const pickled = /^pytorch_model(-\d{5}-of-\d{5})?\.bin$/;

/**
 * The files that from_pretrained needs: configuration, tokenizer and one form of the weights. Pickled weights can run
 * code when they are loaded, so they are taken only if somebody says so.
 */
export function chooseFiles(what: string, files: readonly HubFile[], takePickled: boolean): HubFile[] {
  const fits = (pattern: RegExp): HubFile[] => files.filter((file) => pattern.test(file.path));
  const whole = files.filter((file) => file.path === wholeWeights);
  const weights = [whole, fits(shardOfWeights), takePickled ? fits(pickled) : []].find(
    (one) => one.length > 0,
  );
  if (!files.some((file) => file.path === 'config.json')) {
    throw new UsageError(`${what} has no config.json: from_pretrained could not load it`);
  }
  if (weights === undefined) {
    const other = fits(pickled).length > 0;
    throw new UsageError(
      other
        ? `${what} has pickled weights only, which can run code when loaded; --pickled-weights takes them all the same`
        : `${what} has no weights in safetensors`,
    );
  }
  // An index belongs to its shards; the index of the other form would send a loader to files that are not here.
  const form = weights.some((file) => pickled.test(file.path)) ? 'pytorch_model' : 'model';
  const isForeignIndex = (path: string): boolean =>
    path.endsWith('.index.json') && (!path.startsWith(`${form}.`) || weights === whole);
  return [...fits(textFile).filter((file) => !isForeignIndex(file.path)), ...weights];
}
