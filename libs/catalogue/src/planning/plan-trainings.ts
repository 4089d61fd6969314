import type { SuiteDesign } from '@beamtime/contracts';
import { err, ok, problem, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import {
  type Cell,
  estimateCell,
  expandSuite,
  faultOfVocabulary,
  trainingCorpora,
  trainingJobFile,
} from '@beamtime/suites';
import type { CorpusRecord } from '../postgres/read-corpora.js';
import { type ModelRecord, readModels } from '../postgres/read-models.js';
import { everything } from '../viewer.js';
import { corpusFile, readyCorpora } from './inputs-of-jobs.js';
import { ownerOf, type PlannedJob, type PlanProblem } from './planned-job.js';

/** One training job for each model of a suite that has not been trained; all corpora must be ready. */
export async function planTrainings(
  tx: Tx,
  suiteId: string,
  options: { readonly threads?: number },
): Promise<Result<PlannedJob[], PlanProblem>> {
  const suite = await tx.row<{ design: SuiteDesign; origin: string }>(
    'SELECT design, origin FROM catalogue.suite WHERE id = $1',
    [suiteId],
  );
  if (suite === undefined) return err(problem('resource.not-found', `There is no suite ${suiteId}`));
  const expanded = expandSuite(suite.design);
  if (!expanded.ok) throw new Error(`a suite that was entered cannot be expanded: ${expanded.error.detail}`);
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
