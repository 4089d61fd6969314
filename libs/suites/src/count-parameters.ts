import { assertNever } from '@beamtime/kernel';
import { type Cell, type Family, intermediateSize, type SizeLevel } from './cell.js';

export interface ParameterCount {
  /** Every trained number, a tied matrix once. */
  readonly parameters: number;
  /** Less token, position and type embeddings, and less an output matrix of its own. */
  readonly parametersWithoutEmbeddings: number;
  /** Those that a token is multiplied with: all but what is only looked up. The N of 6·N·D. */
  readonly parametersMultiplied: number;
}

export interface Shape {
  readonly family: Family;
  readonly size: SizeLevel;
  readonly vocabSize: number;
  readonly contextTokens: number;
}

/** Parameters of a cell as `transformers` would make it. A trained tokenizer may end with fewer tokens than asked for. */
export function countParameters(cell: Cell, contextTokens: number): ParameterCount {
  return countParametersOf({
    family: cell.family,
    size: cell.size,
    vocabSize: cell.tokenizer.vocabSize,
    contextTokens,
  });
}

/** Parameters of a shape, exactly those of the family's model in `transformers` 5 as the runner configures it. */
export function countParametersOf(shape: Shape): ParameterCount {
  const { hiddenSize: width, layers } = shape.size;
  const { family, vocabSize, contextTokens } = shape;
  const inner = layers * layerParameters(family, width, intermediateSize(family, shape.size));
  const tokenMatrix = vocabSize * width;
  switch (family) {
    case 'gpt-neox':
      return sum(inner + 2 * width, tokenMatrix, tokenMatrix);
    case 'llama':
      return sum(inner + width, tokenMatrix, tokenMatrix);
    case 'gpt2':
      return sum(inner + 2 * width, contextTokens * width, tokenMatrix);
    case 'bert': {
      const typeMatrix = width;
      const embeddingNorm = 2 * width;
      const head = width * width + width + 2 * width + vocabSize;
      return sum(inner + embeddingNorm + head, contextTokens * width + typeMatrix, tokenMatrix);
    }
    case 'mamba':
      return sum(inner + width, 0, tokenMatrix);
    default:
      return assertNever(family);
  }
}

function sum(inner: number, onlyLookedUp: number, output: number): ParameterCount {
  return {
    parameters: inner + onlyLookedUp + output,
    parametersWithoutEmbeddings: inner,
    parametersMultiplied: inner + output,
  };
}

/** State, convolution and step rank as Mamba's configuration has them by default. */
const mamba = { stateSize: 16, kernelSize: 4, widthPerRank: 16 } as const;

function layerParameters(family: Family, width: number, inner: number): number {
  switch (family) {
    case 'gpt-neox':
    case 'gpt2':
    case 'bert': {
      const attention = 4 * width * width + 4 * width;
      const mlp = 2 * width * inner + inner + width;
      const norms = 4 * width;
      return attention + mlp + norms;
    }
    case 'llama':
      return 4 * width * width + 3 * width * inner + 2 * width;
    case 'mamba': {
      const rank = Math.ceil(width / mamba.widthPerRank);
      const mix = inner * mamba.kernelSize + inner;
      const select = inner * (rank + 2 * mamba.stateSize) + rank * inner + inner;
      const state = inner * mamba.stateSize + inner;
      return width + width * 2 * inner + mix + select + state + inner * width;
    }
    default:
      return assertNever(family);
  }
}
