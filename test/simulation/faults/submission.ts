import type { JobSubmission } from '@beamtime/scheduling';

/** The n-th job of a world, as its sender submits it, however often. */
export function submission(n: number, gpus: number, steps: number): JobSubmission {
  return {
    kind: 'train',
    name: `job ${n}`,
    runner: {
      kind: 'train',
      model: { family: 'gpt-neox', hiddenSize: 16, layers: 1, heads: 2, contextTokens: 16 },
      tokenizer: { kind: 'byte' },
      data: { corpora: [{ id: 'eng', path: 'corpora/eng.txt', language: 'eng', script: 'Latn' }] },
      seeds: { initialisation: 1, dataOrder: 1 },
      training: { steps, batchSequences: 2, learningRate: 0.001 },
    },
    inputs: [],
    // Every other gang is elastic: it runs with one GPU, too.
    resources: { gpus, maxSeconds: 600, checkpoint: true, ...(gpus > 1 && n % 2 === 0 && { gpusMin: 1 }) },
    labId: null,
    suiteId: null,
    modelId: null,
    studyId: null,
    priority: 0,
    attemptLimit: 20,
    requestKey: `job ${n}`,
    account: { kind: 'operations' },
    submittedBy: 'simulation',
  } as JobSubmission;
}
