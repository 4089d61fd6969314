import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { RunnerEvent, SuiteDesign } from '@beamtime/contracts';
import {
  type Cell,
  expandSuite,
  faultOfVocabulary,
  type StagedCorpus,
  trainingCorpora,
  trainingJobFile,
} from '@beamtime/suites';
import type { CliIo } from '../core/cli-io.js';
import { CheckFailed, UsageError } from '../core/usage-error.js';
import { findText } from './find-text.js';
import { findPython, runRunner } from './run-runner.js';

export interface LocalOptions {
  readonly out?: string;
  readonly corpora?: string;
  readonly threads: number;
}

/** What became of one cell; kept in its folder as `result.json`, so that it is not trained twice. */
export interface LocalResult {
  readonly model: string;
  readonly folder: string;
  readonly parameters: number | null;
  readonly step: number;
  readonly loss: number | null;
  readonly weightsSha256: string | null;
  readonly chainSha256: string | null;
  readonly wallSeconds: number;
  readonly tokensPerSecond: number | null;
}

/** Corpora are staged once for the suite; every job sees them by a hard link. */
const corporaFolder = 'corpora';

/** Trains every cell of a suite on this machine with the same runner, one after another; again goes on where it stopped. */
export async function trainLocally(
  io: CliIo,
  design: SuiteDesign,
  options: LocalOptions,
): Promise<LocalResult[]> {
  const cells = expandSuite(design);
  if (!cells.ok) throw new UsageError(cells.error.detail);
  const python = findPython(io);
  const out = resolve(io.cwd, options.out ?? design.name);
  const staged = stageCorpora(design, cells.value, out, options.corpora);
  const bytesOf = (corpusId: string) => statSync(staged.get(corpusId)?.file ?? '').size;
  const fault = faultOfVocabulary(design, cells.value, bytesOf);
  if (fault !== undefined) throw new UsageError(fault.detail);
  const results: LocalResult[] = [];
  for (const [index, cell] of cells.value.entries()) {
    const folder = join(out, cell.name);
    const known = readResult(folder, cell, design, staged);
    if (known !== undefined) {
      io.note(`${cell.name} is trained already`);
      results.push(known);
      continue;
    }
    const title = `${cell.name} (${index + 1} of ${cells.value.length})`;
    results.push(
      await trainCell(io, python, { design, cell, folder, title, staged, threads: options.threads }),
    );
    writeWhole(join(out, 'suite.json'), { design, results });
  }
  return results;
}

interface CellRun {
  readonly design: SuiteDesign;
  readonly cell: Cell;
  readonly folder: string;
  readonly title: string;
  readonly staged: ReadonlyMap<string, Staged>;
  readonly threads: number;
}
type Staged = StagedCorpus & { readonly file: string };

async function trainCell(io: CliIo, python: string, run: CellRun): Promise<LocalResult> {
  const { cell, folder, staged } = run;
  mkdirSync(join(folder, corporaFolder), { recursive: true });
  for (const { corpusId } of trainingCorpora(run.design, cell)) {
    const corpus = staged.get(corpusId);
    const link = join(folder, corpus?.path ?? '');
    if (corpus !== undefined && !existsSync(link)) linkSync(corpus.file, link);
  }
  writeWhole(join(folder, 'job.json'), jobOf(run.design, cell, staged, run.threads));
  const bar = io.progress(run.title, cell.steps);
  const seen = new LocalRun();
  const end = await runRunner(python, 'train', folder, (event) => {
    seen.take(event);
    bar.at(seen.step, seen.loss === null ? seen.phase : `loss ${seen.loss.toFixed(3)}`);
  });
  if (end === 'requeue') {
    bar.stopped('stopped');
    throw new CheckFailed(
      `Stopped at step ${seen.step} of ${cell.name}; the same command goes on from there`,
    );
  }
  if (end !== 'done') {
    bar.stopped('failed');
    throw new CheckFailed(`${cell.name}: ${end.failed}`);
  }
  const result = seen.result(cell.name, folder);
  bar.done(`loss ${result.loss?.toFixed(3) ?? '–'}, ${Math.round(result.wallSeconds)} s`);
  writeWhole(join(folder, 'result.json'), result);
  return result;
}

function jobOf(
  design: SuiteDesign,
  cell: Cell,
  staged: ReadonlyMap<string, Staged>,
  threads: number,
): object {
  const corpora = new Map(
    [...staged].map(([id, { path, sha256, format }]) => [id, stagedCorpus(path, sha256, format)]),
  );
  return trainingJobFile({ design, cell, corpora, jobId: cell.name, attempt: 1, runtime: { threads } });
}

function stagedCorpus(
  path: string,
  sha256: string | undefined,
  format: StagedCorpus['format'],
): StagedCorpus {
  return { path, ...(sha256 === undefined ? {} : { sha256 }), ...(format === undefined ? {} : { format }) };
}

/** What the events of a run say of it. */
class LocalRun {
  step = 0;
  loss: number | null = null;
  phase = 'starting';
  private parameters: number | null = null;
  private done: Extract<RunnerEvent, { kind: 'done' }> | undefined;

  take(event: RunnerEvent): void {
    if (event.kind === 'resolved') this.parameters = event.model.parameters;
    if (event.kind === 'resumed') this.step = event.fromStep;
    if (event.kind === 'done') this.done = event;
    if (event.kind === 'checkpoint' && event.loss !== null) this.loss = event.loss;
    if (event.kind === 'progress') {
      this.phase = event.phase;
      this.step = event.step ?? this.step;
      this.loss = event.loss ?? this.loss;
    }
  }

  result(model: string, folder: string): LocalResult {
    return {
      model,
      folder,
      parameters: this.parameters,
      step: this.done?.step ?? this.step,
      loss: this.loss,
      weightsSha256: this.done?.weightsSha256 ?? null,
      chainSha256: this.done?.chainSha256 ?? null,
      wallSeconds: this.done?.wallSeconds ?? 0,
      tokensPerSecond: this.done?.tokensPerSecond ?? null,
    };
  }
}

/** Puts each corpus once below the suite's folder: a file of the given folder, or a built-in text. */
function stageCorpora(
  design: SuiteDesign,
  cells: readonly Cell[],
  out: string,
  folder: string | undefined,
): Map<string, Staged> {
  const wanted = new Set(
    cells.flatMap((cell) => trainingCorpora(design, cell).map((level) => level.corpusId)),
  );
  mkdirSync(join(out, corporaFolder), { recursive: true });
  const staged = new Map<string, Staged>();
  for (const corpusId of wanted) {
    const { bytes, format } = findText(corpusId, folder);
    const path = `${corporaFolder}/${corpusId}.${format === 'jsonl' ? 'jsonl' : 'txt'}`;
    const file = join(out, path);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (!existsSync(file)) writeFileSync(file, bytes);
    else if (createHash('sha256').update(readFileSync(file)).digest('hex') !== sha256) {
      throw new UsageError(
        `The text of ${corpusId} is not the one that ${out} was begun with; choose another --out`,
      );
    }
    staged.set(corpusId, { path, file, sha256, format });
  }
  return staged;
}

/** The result of an earlier call, if it was for exactly this job. */
function readResult(
  folder: string,
  cell: Cell,
  design: SuiteDesign,
  staged: ReadonlyMap<string, Staged>,
): LocalResult | undefined {
  const [resultPath, jobPath] = [join(folder, 'result.json'), join(folder, 'job.json')];
  if (!existsSync(resultPath) || !existsSync(jobPath)) return undefined;
  const job = JSON.parse(readFileSync(jobPath, 'utf8')) as { runtime?: { threads?: number } };
  const same = jobOf(design, cell, staged, job.runtime?.threads ?? 1);
  if (JSON.stringify(same) !== JSON.stringify(job)) {
    throw new UsageError(`${folder} was trained by another design; choose another --out`);
  }
  return JSON.parse(readFileSync(resultPath, 'utf8')) as LocalResult;
}

function writeWhole(path: string, value: object): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}
