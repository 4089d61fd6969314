import { type SuiteDesign, type SuiteDesignInput, suiteDesignSchema } from '@beamtime/contracts';

/** A small sound design; a test says what matters to it. */
export function aSuiteDesign(changes: Partial<SuiteDesignInput> = {}): SuiteDesign {
  return suiteDesignSchema.parse({
    name: 'udhr',
    title: 'Size, language and seed',
    factors: someFactors(),
    training: { contextTokens: 128, batchSize: 16, learningRate: 1e-3 },
    ...changes,
  });
}

/** 2 sizes × 2 languages × 2 seeds, everything else held. */
export function someFactors(changes: Partial<SuiteDesignInput['factors']> = {}): SuiteDesignInput['factors'] {
  return {
    family: ['gpt-neox'],
    size: [
      { name: '100k', layers: 2, hiddenSize: 64, heads: 4 },
      { name: '400k', layers: 2, hiddenSize: 128, heads: 4 },
    ],
    language: [
      { name: 'eng', language: 'eng', script: 'Latn', corpusId: 'corpus-eng' },
      { name: 'deu', language: 'deu', script: 'Latn', corpusId: 'corpus-deu' },
    ],
    tokenizer: [{ name: 'bpe512', kind: 'bpe', vocabSize: 512 }],
    initialisationSeed: [1, 2],
    dataOrderSeed: [1],
    steps: [64],
    ...changes,
  };
}
