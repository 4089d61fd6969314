import type {
  FileEntry,
  JobInputRequest,
  JobResources,
  RunnerTemplate,
  SuiteDesign,
} from '@beamtime/contracts';
import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import { Transactor, type Tx } from '@beamtime/platform';
import {
  type Cell,
  estimateCell,
  expandSuite,
  faultOfVocabulary,
  trainingCorpora,
  trainingJobFile,
} from '@beamtime/suites';
import { Inject, Injectable } from '@nestjs/common';
import type { CorpusFormat } from './domain/check-lines.js';
import { behaviourOnly, isClosed, noModel } from './find-models.js';
import type { CorpusRecord } from './postgres/read-corpora.js';
import {
  findRevision,
  type ModelRecord,
  type RevisionRecord,
  readModels,
  readRevisions,
} from './postgres/read-models.js';
import { everything } from './viewer.js';

/** A job as scheduling takes it: the runner's file without what each attempt brings, and what to stage. */
export interface PlannedJob {
  readonly modelId: string;
  readonly modelName: string;
  readonly suiteId: string | null;
  readonly labId: string | null;
  readonly template: RunnerTemplate;
  readonly inputs: readonly FileEntry[];
  readonly resources: JobResources;
  readonly gpuSecondsEstimate: number;
  /** Whether a round reserved GPU-seconds for the suite; what was merely entered is paid from operations. */
  readonly isReserved: boolean;
}

export type PlanProblem = Problem<
  | 'resource.not-found'
  | 'catalogue.invalid-corpus'
  | 'catalogue.not-loadable'
  | 'catalogue.behaviour-only'
  | 'governance.invalid-suite'
>;

/** A registered corpus as material of an evaluation. */
interface Material {
  readonly corpusId: string;
  readonly language: string;
  readonly script: string;
}

export interface EvaluationPlan {
  /** Texts for bits per byte. */
  readonly heldOut: readonly Material[];
  /** Sets of minimal pairs. */
  readonly minimalPairs?: readonly Material[];
  readonly headScores: boolean;
  /** All revisions when omitted. */
  readonly revisions?: readonly string[];
  readonly seed?: number;
}

export interface EvaluableModels {
  readonly modelIds: readonly string[];
  readonly leftOut: readonly { readonly modelId: string; readonly name: string; readonly reason: string }[];
}

/** Time bounds of jobs that only read a model; scheduling may lower them. */
const evaluationSecondsMax = 6 * 3_600;
const servingSecondsDefault = 86_400;

/** Turns what the catalogue knows into jobs: which files, which options. It submits nothing. */
@Injectable()
export class PlanJobs {
  constructor(@Inject(Transactor) private readonly transactor: Transactor) {}

  /** One training job for each model of a suite that has not been trained; all corpora must be ready. */
  async training(
    suiteId: string,
    options: { readonly threads?: number } = {},
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob[], PlanProblem>> {
    const suite = await tx.row<{ design: SuiteDesign; origin: string }>(
      'SELECT design, origin FROM catalogue.suite WHERE id = $1',
      [suiteId],
    );
    if (suite === undefined) return err(problem('resource.not-found', `There is no suite ${suiteId}`));
    const expanded = expandSuite(suite.design);
    if (!expanded.ok)
      throw new Error(`a suite that was entered cannot be expanded: ${expanded.error.detail}`);
    const cells = new Map(expanded.value.map((cell) => [cell.name, cell]));
    const corpora = await readyCorpora(
      tx,
      suite.design.factors.language.map((level) => level.corpusId),
      ['text', 'jsonl'],
    );
    if (!corpora.ok) return corpora;
    const bytesOf = (corpusId: string) => Number(corpora.value.get(corpusId)?.size_bytes);
    const fault = faultOfVocabulary(suite.design, expanded.value, bytesOf);
    if (fault !== undefined) return err(fault);
    const models = await readModels(tx, everything, { suiteId });
    return ok(
      models
        .filter((model) => model.state === 'planned' || model.state === 'failed')
        .flatMap((model) => {
          const cell = cells.get(model.name);
          if (cell === undefined) return [];
          const planned = plannedTraining(suite.design, cell, model, corpora.value, options.threads);
          return [{ ...planned, isReserved: suite.origin === 'round' }];
        }),
    );
  }

  /** One job that evaluates revisions of a model. */
  async evaluation(
    modelId: string,
    plan: EvaluationPlan,
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob, PlanProblem>> {
    const found = await loadable(tx, modelId, plan.revisions);
    if (!found.ok) return found;
    const { heldOut, minimalPairs = [] } = plan;
    const materials = await evaluationMaterials(tx, plan);
    if (!materials.ok) return materials;
    const corpora = materials.value;
    const { model, revisions } = found.value;
    const materialOf = ({ corpusId, language, script }: Material) => ({
      id: corpusId,
      path: materialPath(corpusId),
      sha256: corpora.get(corpusId)?.sha256,
      language,
      script,
    });
    const tasks = [
      ...(heldOut.length > 0 ? [{ task: 'bitsPerByte', texts: heldOut.map(materialOf) }] : []),
      ...(scoresHeads(model, plan) ? [{ task: 'headScores' }] : []),
      ...minimalPairs.map((one) => ({ task: 'minimalPairs', ...materialOf(one) })),
    ];
    if (tasks.length === 0) return err(nothingToEvaluate(model));
    return ok({
      ...ownerOf(model),
      template: {
        kind: 'evaluate',
        revisions: revisions.map(revisionInput),
        tasks,
        ...(plan.seed === undefined ? {} : { seed: plan.seed }),
      },
      inputs: [
        ...revisions.flatMap(revisionFiles),
        ...[...heldOut, ...minimalPairs].flatMap(({ corpusId }) =>
          corpusFile(corpora, corpusId, materialPath(corpusId)),
        ),
      ],
      resources: { gpus: 1, maxSeconds: evaluationSecondsMax, checkpoint: false },
      gpuSecondsEstimate: 0,
      isReserved: false,
    });
  }

  /**
   * The same for a model whose training has not ended: what is known so far, without revisions. Null when the model is
   * trained, and can be evaluated now.
   */
  async evaluationToCome(
    modelId: string,
    plan: EvaluationPlan,
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob | null, PlanProblem>> {
    const [model] = await readModels(tx, everything, { models: [modelId], limit: 1 });
    if (model === undefined) return err(noModel(modelId));
    if (isClosed(model)) return err(behaviourOnly(model.name));
    if (model.state === 'ready' || model.state === 'imported') return ok(null);
    if (!hasTasks(model, plan)) return err(nothingToEvaluate(model));
    const materials = await evaluationMaterials(tx, plan);
    if (!materials.ok) return materials;
    return ok({
      ...ownerOf(model),
      template: { kind: 'evaluate' },
      inputs: [],
      resources: { gpus: 1, maxSeconds: evaluationSecondsMax, checkpoint: false },
      gpuSecondsEstimate: 0,
      isReserved: false,
    });
  }

  /** The models of a suite that can be evaluated so, now or when they are trained, and those in which nothing can be. */
  async evaluable(
    suiteId: string,
    plan: EvaluationPlan,
    tx: Tx = this.transactor.read,
  ): Promise<Result<EvaluableModels, PlanProblem>> {
    const models = await readModels(tx, everything, { suiteId });
    if (models.length === 0) {
      return err(problem('resource.not-found', `There is no suite ${suiteId} with models`));
    }
    return ok({
      modelIds: models.filter((model) => hasTasks(model, plan)).map((model) => model.id),
      leftOut: models
        .filter((model) => !hasTasks(model, plan))
        .map((model) => ({ modelId: model.id, name: model.name, reason: nothingToEvaluate(model).detail })),
    });
  }

  /** One job that serves revisions of a model; the last one by default. */
  async serving(
    modelId: string,
    options: { readonly revisions?: readonly string[]; readonly maxSeconds?: number } = {},
    tx: Tx = this.transactor.read,
  ): Promise<Result<PlannedJob, PlanProblem>> {
    const found = await loadable(tx, modelId, options.revisions);
    if (!found.ok) return found;
    const { model, revisions } = found.value;
    const last = revisions.at(-1);
    return ok({
      ...ownerOf(model),
      template: {
        kind: 'serve',
        revisions: revisions.map(revisionInput),
        defaultRevision: `step${last?.step ?? 0}`,
        serve: {},
      },
      inputs: revisions.flatMap(revisionFiles),
      resources: { gpus: 1, maxSeconds: options.maxSeconds ?? servingSecondsDefault, checkpoint: false },
      gpuSecondsEstimate: 0,
      isReserved: false,
    });
  }

  /** The objects behind what a person asked to be staged. */
  async inputs(
    requests: readonly JobInputRequest[],
    tx: Tx = this.transactor.read,
  ): Promise<Result<FileEntry[], PlanProblem>> {
    const files: FileEntry[] = [];
    for (const request of requests) {
      if ('corpusId' in request) {
        const corpora = await readyCorpora(tx, [request.corpusId]);
        if (!corpora.ok) return corpora;
        files.push(...corpusFile(corpora.value, request.corpusId, request.path));
        continue;
      }
      const found = await loadable(tx, request.modelId, [request.revision]);
      if (!found.ok) return found;
      for (const revision of found.value.revisions) {
        files.push(...revision.files.map((file) => ({ ...file, path: `${request.path}/${file.path}` })));
      }
    }
    return ok(files);
  }
}

/** A recurrent model has no attention heads. */
function scoresHeads(model: ModelRecord, plan: EvaluationPlan): boolean {
  return plan.headScores && (model.factors as { family?: unknown }).family !== 'mamba';
}

function hasTasks(model: ModelRecord, plan: EvaluationPlan): boolean {
  return plan.heldOut.length > 0 || (plan.minimalPairs ?? []).length > 0 || scoresHeads(model, plan);
}

function nothingToEvaluate(model: ModelRecord): PlanProblem {
  return problem(
    'catalogue.not-loadable',
    `There is nothing to evaluate in ${model.name}: no text or pairs are given, and it has no heads`,
  );
}

async function evaluationMaterials(
  tx: Tx,
  { heldOut, minimalPairs = [] }: EvaluationPlan,
): Promise<Result<ReadonlyMap<string, CorpusRecord>, PlanProblem>> {
  const texts = await readyCorpora(tx, idsOf(heldOut), ['text']);
  if (!texts.ok) return texts;
  const pairs = await readyCorpora(tx, idsOf(minimalPairs), ['pairs']);
  if (!pairs.ok) return pairs;
  return ok(new Map([...texts.value, ...pairs.value]));
}

function idsOf(materials: readonly Material[]): string[] {
  return materials.map((one) => one.corpusId);
}

/** Where the runner finds a text or a set of pairs. */
function materialPath(corpusId: string): string {
  return `texts/${corpusId}.txt`;
}

function ownerOf(model: ModelRecord): Pick<PlannedJob, 'modelId' | 'modelName' | 'suiteId' | 'labId'> {
  return { modelId: model.id, modelName: model.name, suiteId: model.suite_id, labId: model.lab_id };
}

function plannedTraining(
  design: SuiteDesign,
  cell: Cell,
  model: ModelRecord,
  corpora: ReadonlyMap<string, CorpusRecord>,
  threads: number | undefined,
): PlannedJob {
  const pathOf = (corpusId: string): string => `corpora/${corpusId}.txt`;
  const staged = new Map(
    [...corpora].map(([id, corpus]) => [
      id,
      {
        path: pathOf(id),
        sha256: corpus.sha256,
        format: corpus.format === 'jsonl' ? ('jsonl' as const) : ('text' as const),
      },
    ]),
  );
  const {
    schema: _schema,
    jobId: _jobId,
    attempt: _attempt,
    ...template
  } = trainingJobFile({
    design,
    cell,
    corpora: staged,
    jobId: 'job',
    attempt: 1,
    ...(threads === undefined ? {} : { runtime: { threads } }),
  });
  const { gpus, gpusMin, gpuType, maxSecondsPerModel } = design.resources;
  return {
    ...ownerOf(model),
    template,
    inputs: trainingCorpora(design, cell).flatMap(({ corpusId }) =>
      corpusFile(corpora, corpusId, pathOf(corpusId)),
    ),
    resources: {
      gpus,
      ...(gpusMin === undefined ? {} : { gpusMin }),
      ...(gpuType === undefined ? {} : { gpuType }),
      maxSeconds: maxSecondsPerModel,
      checkpoint: true,
    },
    gpuSecondsEstimate: estimateCell(design, cell).gpuSeconds,
    isReserved: false,
  };
}

function corpusFile(corpora: ReadonlyMap<string, CorpusRecord>, corpusId: string, path: string): FileEntry[] {
  const corpus = corpora.get(corpusId);
  if (corpus === undefined) return [];
  return [
    { path, sizeBytes: Number(corpus.size_bytes), sha256: corpus.sha256, objectKey: corpus.object_key },
  ];
}

function revisionInput(revision: RevisionRecord): Record<string, unknown> {
  const name = `step${revision.step}`;
  return {
    revision: name,
    path: `revisions/${name}`,
    ...(revision.weights_sha256 === null ? {} : { weightsSha256: revision.weights_sha256 }),
  };
}

function revisionFiles(revision: RevisionRecord): FileEntry[] {
  return revision.files.map((file) => ({ ...file, path: `revisions/step${revision.step}/${file.path}` }));
}

/** The corpora by what they were called, an id or a name; all of them must be there, ready, and of a format that serves. */
async function readyCorpora(
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

async function loadable(
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
