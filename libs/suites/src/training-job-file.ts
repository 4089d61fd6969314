import { runnerJobSchemaName, type SuiteDesign, type TrainJob, trainJob } from '@beamtime/contracts';
import { present } from '@beamtime/kernel';
import type { Cell, LanguageLevel } from './cell.js';
import { checkpointSteps } from './checkpoint-steps.js';

/** Where whoever stages the inputs puts a corpus, and what must lie there. */
export interface StagedCorpus {
  /** Below the workdir. */
  readonly path: string;
  readonly sha256?: string;
  readonly format?: 'text' | 'jsonl';
}

export interface TrainingJobInput {
  readonly design: SuiteDesign;
  readonly cell: Cell;
  /** By corpus id, all that `trainingCorpora` names. */
  readonly corpora: ReadonlyMap<string, StagedCorpus>;
  readonly jobId: string;
  readonly attempt: number;
  readonly runtime?: TrainJob['runtime'];
}

/**
 * The corpora that a cell needs: its own language's, and all languages' when the suite shares one tokenizer, which
 * each job then trains anew from the same text with the same outcome.
 */
export function trainingCorpora(design: SuiteDesign, cell: Cell): LanguageLevel[] {
  const shares = cell.tokenizer.kind !== 'byte' && cell.tokenizer.scope === 'shared';
  const wanted = shares ? design.factors.language : [cell.language];
  return [...new Map(wanted.map((level) => [level.corpusId, level])).values()];
}

/** The runner's job file of one cell. */
export function trainingJobFile(input: TrainingJobInput): TrainJob {
  const { design, cell, corpora } = input;
  const { training } = design;
  const languages = trainingCorpora(design, cell);
  const { size, tokenizer } = cell;
  return trainJob.parse({
    schema: runnerJobSchemaName,
    kind: 'train',
    jobId: input.jobId,
    attempt: input.attempt,
    model: {
      family: cell.family,
      hiddenSize: size.hiddenSize,
      layers: size.layers,
      ...(cell.family === 'mamba' ? {} : { heads: size.heads }),
      contextTokens: training.contextTokens,
      ...(size.intermediateSize === undefined ? {} : { intermediateSize: size.intermediateSize }),
    },
    tokenizer:
      tokenizer.kind === 'byte' ? { kind: 'byte' } : { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
    data: {
      corpora: languages.map((level) => ({
        id: level.corpusId,
        ...present(corpora.get(level.corpusId), `staged corpus ${level.corpusId}`),
        language: level.language,
        script: level.script,
      })),
      // The others serve the shared tokenizer only.
      ...(languages.length > 1 ? { mix: { [cell.language.corpusId]: 1 } } : {}),
    },
    seeds: { initialisation: cell.initialisationSeed, dataOrder: cell.dataOrderSeed },
    training: {
      steps: cell.steps,
      batchSequences: training.batchSize,
      learningRate: training.learningRate,
      schedule: training.schedule,
      warmupSteps: training.warmupSteps,
      weightDecay: training.weightDecay,
      dtype: training.dtype,
    },
    checkpoints: {
      schedule: Array.isArray(design.checkpoints)
        ? checkpointSteps(design.checkpoints, cell.steps)
        : design.checkpoints,
    },
    ...(input.runtime === undefined ? {} : { runtime: input.runtime }),
  });
}
