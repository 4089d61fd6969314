import type { DesignInput } from './world.js';

export interface DemoCorpora {
  readonly languages: readonly {
    readonly language: string;
    readonly script: string;
    readonly corpusId: string;
    readonly heldOutCorpusId: string;
  }[];
}

/** A CPU slot stands in for a GPU in the cost estimate; low, so that the reservation also covers a busy machine. */
const coreFlops = 2e10;
const resources = { gpus: 1, utilisation: 0.35, gpuPeakFlops: coreFlops, maxSecondsPerModel: 1_800 };

const training = {
  contextTokens: 128,
  batchSize: 16,
  learningRate: 3e-3,
  schedule: 'cosine' as const,
  warmupSteps: 20,
  weightDecay: 0.1,
  dtype: 'float32' as const,
};

const small = { name: '160k', layers: 2, hiddenSize: 64, heads: 4 };
const large = { name: '680k', layers: 4, hiddenSize: 112, heads: 4 };

/** Two sizes × two languages × two seeds: the suite that the demo trains. */
export function parallelSuite(name: string, corpora: DemoCorpora, steps: number): DesignInput {
  return {
    name,
    title: 'Two sizes, two languages, two seeds, on parallel text',
    description:
      'Does what we see in the heads of a small model hold for a larger one, in another language, from another initialisation? The text is the same in both languages.',
    factors: {
      family: ['gpt-neox'],
      size: [small, large],
      language: corpora.languages.map((l) => ({ name: l.language, ...l })),
      tokenizer: [{ name: 'bpe1k', kind: 'bpe', vocabSize: 1024, scope: 'shared' }],
      initialisationSeed: [1, 2],
      dataOrderSeed: [7],
      steps: [steps],
    },
    training,
    checkpoints: 'log2',
    resources,
  };
}

/** Proposals that compete with it: good questions, but more than the budget can pay. */
export function rivalSuites(name: string, corpora: DemoCorpora, steps: number): DesignInput[] {
  const language = corpora.languages.map((l) => ({ name: l.language, ...l }));
  const first = language.slice(0, 1);
  const rival = (suffix: string, title: string, factors: Partial<DesignInput['factors']>): DesignInput => ({
    name: `${name}-${suffix}`,
    title,
    factors: { ...parallelSuite(name, corpora, steps).factors, ...factors },
    training,
    checkpoints: 'log2',
    resources,
  });
  return [
    rival('tokenizers', 'Four tokenizers on one language', {
      language: first,
      initialisationSeed: [1],
      tokenizer: [
        { name: 'byte', kind: 'byte' },
        { name: 'bpe1k', kind: 'bpe', vocabSize: 1024, scope: 'shared' },
        { name: 'bpe2k', kind: 'bpe', vocabSize: 2048, scope: 'shared' },
        { name: 'uni1k', kind: 'unigram', vocabSize: 1024, scope: 'shared' },
      ],
    }),
    rival('seeds', 'Ten seeds of one model', {
      size: [small],
      language: first,
      initialisationSeed: Array.from({ length: 10 }, (_, i) => i + 1),
      steps: [steps * 2],
    }),
    rival('families', 'Three architectures side by side', {
      family: ['gpt-neox', 'llama', 'gpt2'],
      language: first,
      initialisationSeed: [1],
    }),
    rival('longer', 'The larger model, trained four times as long', {
      size: [large],
      initialisationSeed: [1],
      steps: [steps * 4],
    }),
  ];
}
