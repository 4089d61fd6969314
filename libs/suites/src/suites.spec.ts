import { type SuiteDesign, type SuiteDesignInput, suiteDesignSchema, trainJob } from '@beamtime/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Cell,
  checkpointSteps,
  confounding,
  countGrid,
  countParametersOf,
  type Described,
  describeCells,
  estimateCell,
  estimateCost,
  expandSuite,
  type Family,
  factorNames,
  neighbours,
  questions,
  trainingCorpora,
  trainingJobFile,
} from './index.js';
import { planSuite } from './plan-suite.js';
import { aSuiteDesign, someFactors } from './testing.js';

function cellsOf(design: SuiteDesign): Cell[] {
  const expanded = expandSuite(design);
  if (!expanded.ok) throw new Error(expanded.error.detail);
  return expanded.value;
}

function faultOf(changes: Partial<SuiteDesignInput>): string {
  const expanded = expandSuite(aSuiteDesign(changes));
  if (expanded.ok) throw new Error('expected a fault');
  return expanded.error.detail;
}

/** Sound designs with any number of levels, small enough to expand. */
const designs = fc
  .record({
    families: fc.uniqueArray(fc.constantFrom<Family>('gpt-neox', 'llama', 'gpt2', 'bert', 'mamba'), {
      minLength: 1,
      maxLength: 3,
    }),
    sizes: fc.integer({ min: 1, max: 3 }),
    languages: fc.integer({ min: 1, max: 3 }),
    tokenizers: fc.integer({ min: 1, max: 2 }),
    seeds: fc.uniqueArray(fc.nat(50), { minLength: 1, maxLength: 3 }),
    orders: fc.uniqueArray(fc.nat(50), { minLength: 1, maxLength: 2 }),
    steps: fc.uniqueArray(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 2 }),
  })
  .map((n) =>
    aSuiteDesign({
      factors: {
        family: n.families,
        size: Array.from({ length: n.sizes }, (_, i) => ({
          name: `z${i}`,
          layers: i + 1,
          hiddenSize: 32 * (i + 1),
          heads: 4,
        })),
        language: Array.from({ length: n.languages }, (_, i) => ({
          name: `l${i}`,
          language: 'deu',
          script: 'Latn',
          corpusId: `c${i}`,
        })),
        tokenizer: Array.from({ length: n.tokenizers }, (_, i) => ({
          name: `t${i}`,
          kind: 'bpe' as const,
          vocabSize: 300 + 100 * i,
        })),
        initialisationSeed: n.seeds,
        dataOrderSeed: n.orders,
        steps: n.steps,
      },
    }),
  );

describe('expanding a suite', () => {
  it('names its cells by what varies, and always the same', () => {
    const names = cellsOf(aSuiteDesign()).map((cell) => cell.name);
    expect(names).toEqual([
      'udhr-neox-100k-eng-s1',
      'udhr-neox-100k-eng-s2',
      'udhr-neox-100k-deu-s1',
      'udhr-neox-100k-deu-s2',
      'udhr-neox-400k-eng-s1',
      'udhr-neox-400k-eng-s2',
      'udhr-neox-400k-deu-s1',
      'udhr-neox-400k-deu-s2',
    ]);
  });

  it('gives each combination of levels once, under a name of its own', () => {
    fc.assert(
      fc.property(designs, (design) => {
        const cells = cellsOf(design);
        expect(cells).toHaveLength(countGrid(design));
        expect(new Set(cells.map((cell) => cell.name)).size).toBe(cells.length);
        expect(new Set(cells.map((cell) => JSON.stringify(cell.levels))).size).toBe(cells.length);
      }),
      { numRuns: 50 },
    );
  });

  it('leaves out the cells that match all levels of an exclusion, and no others', () => {
    const cells = cellsOf(aSuiteDesign({ exclude: [{ size: '400k', language: 'deu' }] }));
    expect(cells).toHaveLength(6);
    expect(cells.some((cell) => cell.levels.size === '400k' && cell.levels.language === 'deu')).toBe(false);
  });

  it('refuses a million cells before it makes one', () => {
    const seeds = Array.from({ length: 400 }, (_, i) => i);
    const startedMs = performance.now();
    const detail = faultOf({
      factors: someFactors({
        initialisationSeed: seeds,
        dataOrderSeed: seeds,
        steps: seeds.map((s) => s + 1),
      }),
    });
    expect(detail).toMatch(/^factors: the grid has 256,000,000 cells; at most 10,000/);
    expect(performance.now() - startedMs).toBeLessThan(500);
  });

  it.each<[string, Partial<SuiteDesignInput>, RegExp]>([
    [
      'heads that do not divide the width',
      { factors: someFactors({ size: [{ name: 'a', layers: 1, hiddenSize: 64, heads: 3 }] }) },
      /^factors\.size\[0\]\.heads: 3 heads do not divide hiddenSize 64/,
    ],
    [
      'an odd width of a rotating head',
      {
        factors: someFactors({
          family: ['llama'],
          size: [{ name: 'a', layers: 1, hiddenSize: 36, heads: 4 }],
        }),
      },
      /^factors\.size\[0\]\.heads: llama rotates pairs/,
    ],
    [
      'a level listed twice',
      { factors: someFactors({ initialisationSeed: [1, 1] }) },
      /^factors\.initialisationSeed\[1\]: the level 1 is listed twice/,
    ],
    [
      'a trained tokenizer without a size',
      { factors: someFactors({ tokenizer: [{ name: 'bpe', kind: 'bpe' }] }) },
      /^factors\.tokenizer\[0\]\.vocabSize: bpe needs more than the 258/,
    ],
    [
      'a byte tokenizer with a size',
      { factors: someFactors({ tokenizer: [{ name: 'byte', kind: 'byte', vocabSize: 300 }] }) },
      /^factors\.tokenizer\[0\]\.vocabSize: a byte tokenizer has 258 tokens/,
    ],
    [
      'an exclusion of a factor that is not there',
      { exclude: [{ sise: '100k' }] },
      /^exclude\[0\]\.sise: no such factor/,
    ],
    [
      'an exclusion of a level that is not there',
      { exclude: [{ size: '1m' }] },
      /^exclude\[0\]\.size: no level 1m/,
    ],
    ['nothing left', { exclude: [{ family: 'gpt-neox' }] }, /^exclude: every cell/],
    [
      'a warm-up as long as the run',
      { training: { contextTokens: 8, batchSize: 1, learningRate: 0.1, warmupSteps: 64 } },
      /^training\.warmupSteps: 64 is not less than the 64 steps/,
    ],
    [
      'two cells of one name',
      {
        factors: someFactors({
          size: [
            { name: 'a', layers: 1, hiddenSize: 8, heads: 1 },
            { name: 'a-b', layers: 2, hiddenSize: 8, heads: 1 },
          ],
          language: [
            { name: 'b-c', language: 'deu', script: 'Latn', corpusId: 'x' },
            { name: 'c', language: 'eng', script: 'Latn', corpusId: 'y' },
          ],
        }),
      },
      /^factors: two cells would both be named udhr-neox-a-b-c-s1/,
    ],
    [
      'a name that no hub takes',
      {
        name: `u${'x'.repeat(58)}`,
        factors: someFactors({ size: [{ name: 'a'.repeat(40), layers: 1, hiddenSize: 8, heads: 1 }] }),
      },
      /^name: the model name .* is longer than 87/,
    ],
  ])('refuses %s with the name of the field', (_, changes, expected) => {
    expect(faultOf(changes)).toMatch(expected);
  });

  it('refuses a family that does not exist at the schema', () => {
    const parsed = suiteDesignSchema.safeParse({
      ...aSuiteDesign(),
      factors: { ...someFactors(), family: ['gpt-5'] },
    });
    expect(parsed.error?.issues[0]?.path).toEqual(['factors', 'family', 0]);
  });
});

describe('counting parameters', () => {
  // family, width, layers, heads, vocabulary, context, MLP, all, without embeddings: as transformers 5.23 counts.
  const counted: [Family, number, number, number, number, number, number | undefined, number, number][] = [
    ['gpt-neox', 64, 2, 4, 512, 128, undefined, 165_632, 100_096],
    ['gpt-neox', 96, 3, 4, 2048, 256, 192, 617_760, 224_544],
    ['gpt-neox', 768, 12, 12, 50_304, 2048, undefined, 162_322_944, 85_056_000],
    ['gpt-neox', 40, 1, 2, 300, 32, undefined, 43_800, 19_800],
    ['llama', 64, 2, 4, 512, 128, undefined, 196_928, 131_392],
    ['llama', 96, 3, 4, 2048, 256, 192, 670_368, 277_152],
    ['llama', 768, 12, 12, 50_304, 2048, undefined, 190_532_352, 113_265_408],
    ['gpt2', 64, 2, 4, 512, 128, undefined, 141_056, 100_096],
    ['gpt2', 96, 3, 4, 2048, 256, 192, 445_728, 224_544],
    ['gpt2', 768, 12, 12, 50_304, 2048, undefined, 125_262_336, 85_056_000],
    ['bert', 64, 2, 4, 512, 128, undefined, 145_920, 104_896],
    ['bert', 96, 3, 4, 2048, 256, 192, 457_376, 236_096],
    ['bert', 768, 12, 12, 50_304, 2048, undefined, 125_905_536, 85_698_432],
    ['mamba', 64, 2, 4, 512, 128, undefined, 98_240, 65_472],
    ['mamba', 96, 3, 4, 2048, 256, 192, 401_472, 204_864],
    ['mamba', 768, 12, 12, 50_304, 2048, undefined, 83_894_016, 45_260_544],
    ['mamba', 40, 1, 2, 300, 32, undefined, 26_560, 14_560],
  ];
  it.each(counted)(
    'agrees with transformers on %s, width %i, %i layers',
    (family, hiddenSize, layers, heads, vocabSize, contextTokens, inner, parameters, without) => {
      const count = countParametersOf({
        family,
        size: {
          name: 'x',
          hiddenSize,
          layers,
          heads,
          ...(inner === undefined ? {} : { intermediateSize: inner }),
        },
        vocabSize,
        contextTokens,
      });
      expect([count.parameters, count.parametersWithoutEmbeddings]).toEqual([parameters, without]);
    },
  );
});

describe('budgets by byte premium', () => {
  const premium = fc.double({ min: 0.5, max: 5, noNaN: true });

  it('give each language its premium times the steps, tokens and epochs, to the nearest step, and no other change', () => {
    fc.assert(
      fc.property(premium, premium, fc.integer({ min: 10, max: 100_000 }), (eng, deu, steps) => {
        const [first, second] = someFactors().language;
        if (first === undefined || second === undefined) throw new Error('two languages');
        const factors = {
          ...someFactors(),
          language: [
            { ...first, bytePremium: eng },
            { ...second, bytePremium: deu },
          ],
          steps: [steps],
        };
        const training = { contextTokens: 128, batchSize: 16, learningRate: 1e-3 };
        const resources = { maxSecondsPerModel: 31_536_000 };
        const planOf = (tokenBudget: 'equal' | 'byte-premium') => {
          const plan = planSuite(
            aSuiteDesign({ factors, training: { ...training, tokenBudget }, resources }),
          );
          if (!plan.ok) throw new Error(plan.error.detail);
          return plan.value;
        };
        const [equal, scaled] = [planOf('equal'), planOf('byte-premium')];
        expect(scaled.bytePremiums).toEqual({ eng, deu });
        expect(equal.bytePremiums).toBeUndefined();
        for (const [index, cell] of scaled.cells.entries()) {
          const plain = equal.cells[index];
          const by = cell.levels['language'] === 'eng' ? eng : deu;
          const tokensPerStep = 16 * 128;
          expect(Math.abs(cell.tokens - by * (plain?.tokens ?? 0))).toBeLessThanOrEqual(
            tokensPerStep / 2 + 1e-3,
          );
          expect(cell.flops / cell.tokens).toBeCloseTo((plain?.flops ?? 0) / (plain?.tokens ?? 1));
          expect([cell.name, cell.levels, cell.parameters]).toEqual([
            plain?.name,
            plain?.levels,
            plain?.parameters,
          ]);
        }
        expect(scaled.confounding).toEqual(equal.confounding);
      }),
      { numRuns: 50 },
    );
  });

  it('are refused where a language has no premium, or too few steps are left for the warm-up', () => {
    const training = {
      contextTokens: 128,
      batchSize: 16,
      learningRate: 1e-3,
      tokenBudget: 'byte-premium' as const,
    };
    const refused = (changes: Parameters<typeof aSuiteDesign>[0]): string => {
      const cells = expandSuite(aSuiteDesign(changes));
      return cells.ok ? '' : cells.error.detail;
    };
    expect(refused({ training })).toBe(
      'factors.language[0].bytePremium: training.tokenBudget is byte-premium, so eng needs one (1 for the reference)',
    );
    const language = someFactors().language.map((level) => ({ ...level, bytePremium: 0.5 }));
    const factors = someFactors({ language });
    expect(refused({ factors, training: { ...training, warmupSteps: 32 } })).toMatch(
      /^training.warmupSteps: 32/,
    );
    expect(refused({ factors: { ...factors, steps: [10_000_000] }, training })).toBe('');
    const large = someFactors({ language: language.map((level) => ({ ...level, bytePremium: 2 })) });
    expect(refused({ factors: { ...large, steps: [10_000_000] }, training })).toMatch(
      /^factors.language\[0\].bytePremium: 10000000 steps times 2 are more than 10,000,000/,
    );
  });

  it('are what the job file trains, with the checkpoints of those steps', () => {
    const language = someFactors().language.map((level) => ({ ...level, bytePremium: 1.5 }));
    const design = aSuiteDesign({
      factors: someFactors({ language }),
      training: { contextTokens: 128, batchSize: 16, learningRate: 1e-3, tokenBudget: 'byte-premium' },
      checkpoints: [0, 64, 96, 200],
    });
    const cells = expandSuite(design);
    const [cell] = cells.ok ? cells.value : [];
    if (cell === undefined) throw new Error('no cell');
    const corpora = new Map(language.map(({ corpusId }) => [corpusId, { path: `corpora/${corpusId}.txt` }]));
    const job = trainingJobFile({ design, cell, corpora, jobId: 'j', attempt: 1 });
    expect([cell.levels.steps, job.training.steps]).toEqual([64, 96]);
    expect(job.checkpoints?.schedule).toEqual([0, 64, 96]);
  });
});

describe('checkpoint steps', () => {
  it('are powers of two and the last step, or what Pythia saved', () => {
    expect(checkpointSteps('log2', 10)).toEqual([0, 1, 2, 4, 8, 10]);
    expect(checkpointSteps([3, 5, 99], 10)).toEqual([3, 5, 10]);
    // Pythia's own: 154 revisions of 143,000 steps.
    expect(checkpointSteps('pythia', 143_000)).toHaveLength(154);
    expect(checkpointSteps('pythia', 2_500)).toEqual([
      0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 2500,
    ]);
  });
});

describe('estimating cost', () => {
  it('sums over the cells, and grows with steps and falls with utilisation', () => {
    fc.assert(
      fc.property(designs, (design) => {
        const cost = estimateCost(design);
        if (!cost.ok) throw new Error(cost.error.detail);
        const { value } = cost;
        expect(value.models).toBe(value.cells.length);
        expect(Number.isSafeInteger(value.gpuSeconds)).toBe(true);
        expect(value.gpuSeconds).toBe(value.cells.reduce((sum, cell) => sum + cell.gpuSeconds, 0));
        const [first] = cellsOf(design);
        if (first === undefined) return;
        const costOf = (utilisation: number, steps: number): number =>
          estimateCell(
            { ...design, resources: { ...design.resources, utilisation, gpuPeakFlops: 1e9 } },
            { ...first, steps },
          ).gpuSeconds;
        expect(costOf(0.2, 100)).toBeGreaterThanOrEqual(costOf(0.4, 100));
        expect(costOf(0.2, 200)).toBeGreaterThanOrEqual(costOf(0.2, 100));
      }),
      { numRuns: 30 },
    );
  });

  it('gives Pythia 160M its 300 billion tokens, 6·N·D and the attention on top', () => {
    const design = aSuiteDesign({
      factors: someFactors({
        size: [{ name: '160m', layers: 12, hiddenSize: 768, heads: 12 }],
        language: [{ name: 'pile', language: 'eng', script: 'Latn', corpusId: 'pile' }],
        tokenizer: [{ name: 'neox', kind: 'bpe', vocabSize: 50_304 }],
        initialisationSeed: [1234],
        steps: [143_000],
      }),
      training: { contextTokens: 2_048, batchSize: 1_024, learningRate: 6e-4 },
      checkpoints: 'pythia',
      resources: { maxSecondsPerModel: 31_536_000 },
    });
    const cost = estimateCost(design);
    if (!cost.ok) throw new Error(cost.error.detail);
    expect(cost.value.tokens).toBe(299_892_736_000);
    // 6 · 123.7 M · 300 B is 2.2e20; attention over 2,048 positions adds a third.
    expect(cost.value.flops).toBeGreaterThan(2.2e20);
    expect(cost.value.flops).toBeLessThan(3.1e20);
  });

  it('refuses a model that would run into its own time bound', () => {
    const cost = estimateCost(aSuiteDesign({ resources: { gpuPeakFlops: 1e6, maxSecondsPerModel: 60 } }));
    expect(cost.ok ? '' : cost.error.detail).toMatch(
      /^resources\.maxSecondsPerModel: udhr-neox-100k-eng-s1 is estimated/,
    );
  });
});

describe('questions and neighbours', () => {
  it('count, for each factor that varies, the pairs that differ in it alone', () => {
    const found = questions(describeCells(cellsOf(aSuiteDesign())));
    expect(found.map(({ factor, pairs }) => [factor, pairs])).toEqual([
      ['size', 4],
      ['language', 4],
      ['initialisationSeed', 4],
    ]);
  });

  it('agree with comparing every two cells one by one', () => {
    fc.assert(
      fc.property(designs, (design) => {
        const described = describeCells(cellsOf(design)).slice(0, 40);
        const byPairs = new Map<string, number>();
        for (const one of described) {
          for (const { factor } of neighbours(one, described)) {
            byPairs.set(factor, (byPairs.get(factor) ?? 0) + 1);
          }
        }
        const byGroups = new Map(questions(described).map(({ factor, pairs }) => [factor, 2 * pairs]));
        expect(byGroups).toEqual(byPairs);
      }),
      { numRuns: 30 },
    );
  });

  it('never take an unknown level for an equal one', () => {
    const models: Described[] = [
      { name: 'a', factors: { size: 1, optimiser: null } },
      { name: 'b', factors: { size: 2, optimiser: null } },
    ];
    expect(questions(models)).toEqual([]);
    expect(neighbours(models[0] as Described, models)).toEqual([]);
  });
});

describe('confounding', () => {
  it('finds nothing in a full grid', () => {
    const report = confounding(describeCells(cellsOf(aSuiteDesign())));
    expect(report.unanswerable).toEqual([]);
    expect(report.associations).toEqual([]);
    expect(report.held).toEqual(['family', 'tokenizer', 'dataOrderSeed', 'steps']);
  });

  it('names two factors that only ever vary together', () => {
    const design = aSuiteDesign({
      exclude: [
        { size: '100k', language: 'deu' },
        { size: '400k', language: 'eng' },
      ],
    });
    const report = confounding(describeCells(cellsOf(design)));
    expect(report.unanswerable).toEqual(['size', 'language']);
    expect(report.associations[0]).toEqual({ factors: ['size', 'language'], strength: 1, inseparable: true });
    expect(report.factors.find((one) => one.factor === 'size')?.confoundedWith).toEqual(['language']);
    expect(report.factors.find((one) => one.factor === 'initialisationSeed')?.confoundedWith).toEqual([]);
  });

  it('calls a factor unanswerable exactly when no two models differ in it alone', () => {
    const levels = fc.array(fc.record({ a: fc.nat(2), b: fc.nat(2), c: fc.nat(1) }), {
      minLength: 2,
      maxLength: 12,
    });
    fc.assert(
      fc.property(levels, (rows) => {
        const models = rows.map((factors, index) => ({ name: String(index), factors }));
        const report = confounding(models);
        for (const factor of ['a', 'b', 'c'] as const) {
          const varies = new Set(rows.map((row) => row[factor])).size > 1;
          const clean = models.some((one) =>
            neighbours(one, models).some((found) => found.factor === factor),
          );
          expect(report.unanswerable.includes(factor)).toBe(varies && !clean);
        }
      }),
    );
  });
});

describe('the job file of a cell', () => {
  const staged = new Map([
    ['corpus-eng', { path: 'corpora/eng.txt', sha256: 'a'.repeat(64) }],
    ['corpus-deu', { path: 'corpora/deu.txt', sha256: 'b'.repeat(64) }],
  ]);

  it('is one that the runner takes, whatever the cell', () => {
    fc.assert(
      fc.property(designs, (design) => {
        for (const cell of cellsOf(design).slice(0, 10)) {
          const corpora = new Map(
            trainingCorpora(design, cell).map(({ corpusId }) => [
              corpusId,
              { path: `corpora/${corpusId}.txt` },
            ]),
          );
          const job = trainingJobFile({ design, cell, corpora, jobId: 'job_x', attempt: 1 });
          expect(trainJob.safeParse(job).success).toBe(true);
          expect(job.seeds).toEqual({
            initialisation: cell.initialisationSeed,
            dataOrder: cell.dataOrderSeed,
          });
          expect('heads' in job.model).toBe(cell.family !== 'mamba');
        }
      }),
      { numRuns: 20 },
    );
  });

  it('trains a shared tokenizer on all languages, and the model on its own', () => {
    const design = aSuiteDesign();
    const cell = cellsOf(design).find((one) => one.levels.language === 'deu');
    if (cell === undefined) throw new Error('no cell');
    const job = trainingJobFile({ design, cell, corpora: staged, jobId: 'job_x', attempt: 1 });
    expect(job.data.corpora.map((corpus) => corpus.id)).toEqual(['corpus-eng', 'corpus-deu']);
    expect(job.data.mix).toEqual({ 'corpus-deu': 1 });
  });

  it('gives all sizes and initialisation seeds of a language the same data in the same order', () => {
    const design = aSuiteDesign();
    const dataOf = (cell: Cell): string => {
      const { data, tokenizer, seeds, training } = trainingJobFile({
        design,
        cell,
        corpora: staged,
        jobId: 'job_x',
        attempt: 1,
      });
      return JSON.stringify({ data, tokenizer, order: seeds.dataOrder, batch: training.batchSequences });
    };
    const german = cellsOf(design).filter((cell) => cell.levels.language === 'deu');
    expect(new Set(german.map(dataOf)).size).toBe(1);
    expect(factorNames).toContain('dataOrderSeed');
  });
});
