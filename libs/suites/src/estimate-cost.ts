import type { SuiteDesign } from '@beamtime/contracts';
import { err, ok, type Result } from '@beamtime/kernel';
import type { Cell } from './cell.js';
import { checkpointSteps } from './checkpoint-steps.js';
import { countParameters } from './count-parameters.js';
import { expandSuite, type InvalidSuite, invalidSuite } from './expand-suite.js';

export interface CellCost {
  readonly name: string;
  readonly parameters: number;
  readonly parametersWithoutEmbeddings: number;
  readonly tokens: number;
  /** 6·N·D over the parameters that multiply, plus 12·layers·width·context for each token's attention. */
  readonly flops: number;
  /** Device time of all GPUs together, at the assumed utilisation, start-up included. */
  readonly gpuSeconds: number;
  readonly wallSeconds: number;
  readonly checkpoints: number;
  /** Weights of all revisions plus the state to resume from. */
  readonly storageBytes: number;
}

export interface SuiteCost {
  readonly models: number;
  readonly parameters: number;
  readonly tokens: number;
  readonly flops: number;
  readonly gpuSeconds: number;
  /** Of the model that takes longest: with GPUs enough, the whole suite takes no less. */
  readonly longestWallSeconds: number;
  readonly checkpoints: number;
  readonly storageBytes: number;
  readonly cells: readonly CellCost[];
}

const weightBytes = 4;
/** A resumable state holds the weights and two moments of the optimiser. */
const resumableBytesPerParameter = 3 * weightBytes;
/** Multiply and add, once forward and twice backward. */
const flopsPerParameterAndToken = 6;

/** What one cell will cost. */
export function estimateCell(design: SuiteDesign, cell: Cell): CellCost {
  const { contextTokens, batchSize } = design.training;
  const { gpus, utilisation, gpuPeakFlops, overheadSecondsPerModel } = design.resources;
  const count = countParameters(cell, contextTokens);
  const tokens = cell.steps * batchSize * contextTokens;
  const attentionPerToken =
    cell.family === 'mamba' ? 0 : 12 * cell.size.layers * cell.size.hiddenSize * contextTokens;
  const flops = tokens * (flopsPerParameterAndToken * count.parametersMultiplied + attentionPerToken);
  const wallSeconds = Math.ceil(flops / (gpus * gpuPeakFlops * utilisation)) + overheadSecondsPerModel;
  const checkpoints = checkpointSteps(design.checkpoints, cell.steps).length;
  return {
    name: cell.name,
    parameters: count.parameters,
    parametersWithoutEmbeddings: count.parametersWithoutEmbeddings,
    tokens,
    flops,
    gpuSeconds: wallSeconds * gpus,
    wallSeconds,
    checkpoints,
    storageBytes: count.parameters * (checkpoints * weightBytes + resumableBytesPerParameter),
  };
}

/**
 * What the whole suite will cost. Refused when a cell would, by this estimate, run into its own time bound: its GPU
 * time would be spent for nothing.
 */
export function estimateCost(design: SuiteDesign): Result<SuiteCost, InvalidSuite> {
  const expanded = expandSuite(design);
  if (!expanded.ok) return expanded;
  const cells = expanded.value.map((cell) => estimateCell(design, cell));
  const { maxSecondsPerModel } = design.resources;
  const tooLong = cells.find((cell) => cell.wallSeconds > maxSecondsPerModel);
  if (tooLong !== undefined) {
    return err(
      invalidSuite(
        'resources.maxSecondsPerModel',
        `${tooLong.name} is estimated to take ${tooLong.wallSeconds.toLocaleString('en')} s, longer than the bound of ${maxSecondsPerModel.toLocaleString('en')} s; raise the bound, add GPUs or train less`,
      ),
    );
  }
  const total = (of: (cell: CellCost) => number): number => cells.reduce((sum, cell) => sum + of(cell), 0);
  return ok({
    models: cells.length,
    parameters: total((cell) => cell.parameters),
    tokens: total((cell) => cell.tokens),
    flops: total((cell) => cell.flops),
    gpuSeconds: total((cell) => cell.gpuSeconds),
    longestWallSeconds: Math.max(...cells.map((cell) => cell.wallSeconds)),
    checkpoints: total((cell) => cell.checkpoints),
    storageBytes: total((cell) => cell.storageBytes),
    cells,
  });
}
