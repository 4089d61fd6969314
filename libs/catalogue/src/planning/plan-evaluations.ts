import { err, ok, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import { behaviourOnly, isClosed, noModel } from '../find-models.js';
import type { CorpusRecord } from '../postgres/read-corpora.js';
import { type ModelRecord, readModels } from '../postgres/read-models.js';
import { everything } from '../viewer.js';
import { corpusFile, loadable, readyCorpora, revisionFiles, revisionInput } from './inputs-of-jobs.js';
import { ownerOf, type PlannedJob, type PlanProblem } from './planned-job.js';

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

/** Time bound of an evaluation; scheduling may lower it. */
const evaluationSecondsMax = 6 * 3_600;

/** One job that evaluates revisions of a model. */
export async function planEvaluation(
  tx: Tx,
  modelId: string,
  plan: EvaluationPlan,
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
export async function planEvaluationToCome(
  tx: Tx,
  modelId: string,
  plan: EvaluationPlan,
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
export async function findEvaluable(
  tx: Tx,
  suiteId: string,
  plan: EvaluationPlan,
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
