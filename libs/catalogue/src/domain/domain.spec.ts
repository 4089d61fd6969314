import { assertSoundLifecycle } from '@beamtime/kernel/testing';
import { confounding, countParameters, estimateCell, expandSuite, neighbours } from '@beamtime/suites';
import { aSuiteDesign } from '@beamtime/suites/testing';
import { describe, expect, it } from 'vitest';
import { countLandscape } from './count-landscape.js';
import { type ComparableModel, describeModels, type KnownFactors, plannedFactors } from './describe-model.js';
import { corpusLifecycle, modelLifecycle, suiteState } from './lifecycles.js';

function modelsOf(
  resolved: boolean,
  change: (factors: KnownFactors) => KnownFactors = (f) => f,
): ComparableModel[] {
  const design = aSuiteDesign();
  const cells = expandSuite(design);
  if (!cells.ok) throw new Error(cells.error.detail);
  return cells.value.map((cell) => {
    const { contextTokens } = design.training;
    expect(estimateCell(design, cell).parameters).toBe(countParameters(cell, contextTokens).parameters);
    const planned = plannedFactors(cell, design.training, countParameters(cell, contextTokens));
    return {
      name: cell.name,
      suiteId: 'sui_a',
      levels: { ...cell.levels },
      factors: change({
        ...planned,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        gradientClip: 1,
        minimumLearningRateRatio: 0.1,
      }),
      resolved,
    };
  });
}

describe('the lifecycles', () => {
  it('reach every state and end', () => {
    assertSoundLifecycle(corpusLifecycle, 'registered');
    assertSoundLifecycle(modelLifecycle, 'planned', 'listed');
  });

  it('give a suite the state that its models have together', () => {
    expect(suiteState({ planned: 4 })).toBe('planned');
    expect(suiteState({ planned: 3, ready: 1 })).toBe('training');
    expect(suiteState({ training: 1, failed: 3 })).toBe('training');
    expect(suiteState({ ready: 3, failed: 1 })).toBe('incomplete');
    expect(suiteState({ ready: 4 })).toBe('ready');
  });
});

describe('comparing models', () => {
  it.each([true, false])(
    'finds the neighbours in a suite by its three factors (resolved: %s)',
    (resolved) => {
      const described = describeModels(modelsOf(resolved));
      const [first] = described;
      if (first === undefined) throw new Error('no model');
      expect(neighbours(first, described).map(({ model, factor }) => [model.name, factor])).toEqual([
        ['udhr-neox-100k-eng-s2', 'initialisationSeed'],
        ['udhr-neox-100k-deu-s1', 'language'],
        ['udhr-neox-400k-eng-s1', 'size'],
      ]);
    },
  );

  it('finds languages of one budget by content as neighbours, though their steps differ', () => {
    const scaled = modelsOf(true, (factors) => {
      const bytePremium = factors['language'] === 'deu' ? 1.25 : 1;
      const steps = Number(factors['steps']) * bytePremium;
      return { ...factors, tokenBudget: 'byte-premium', bytePremium, steps };
    });
    for (const suiteId of ['sui_a', null]) {
      const described = describeModels(scaled.map((model) => ({ ...model, suiteId })));
      const [first] = described;
      if (first === undefined) throw new Error('no model');
      expect(neighbours(first, described).map(({ factor }) => factor)).toEqual([
        'initialisationSeed',
        'language',
        'size',
      ]);
    }
    // Beside a model whose budget was not scaled, what was really trained counts.
    const mixed = scaled.map((model, index) =>
      index === 0 ? { ...model, factors: { ...model.factors, tokenBudget: 'equal' } } : model,
    );
    const described = describeModels(mixed.map((model) => ({ ...model, suiteId: null })));
    const [first] = described;
    expect(first && neighbours(first, described).map(({ factor }) => factor)).toEqual([
      'initialisationSeed',
      'size',
    ]);
  });

  it('sees, in what was resolved, a difference that the design did not mean', () => {
    // Pythia's two largest models were initialised differently because a value was missing.
    const models = modelsOf(true, (factors) =>
      factors['size'] === '400k' ? { ...factors, gradientClip: 0 } : factors,
    );
    const report = confounding(describeModels(models));
    expect(report.unanswerable).toEqual(['size', 'gradientClip']);
    expect(report.associations[0]?.inseparable).toBe(true);
  });

  it('compares models of different suites by what was resolved, and never over an unknown', () => {
    const [one, other] = modelsOf(true);
    if (one === undefined || other === undefined) throw new Error('no model');
    const elsewhere: ComparableModel = { ...other, name: 'elsewhere', suiteId: null, levels: null };
    expect(neighbours(described([one, elsewhere])[0], described([one, elsewhere]))).toHaveLength(1);
    const vague = { ...elsewhere, factors: { ...elsewhere.factors, epsilon: null } };
    expect(neighbours(described([one, vague])[0], described([one, vague]))).toHaveLength(0);
  });
});

function described(models: readonly ComparableModel[]) {
  const all = describeModels(models);
  const [first, ...rest] = all;
  if (first === undefined) throw new Error('no model');
  return [first, ...rest] as [typeof first, ...typeof rest];
}

describe('the landscape', () => {
  it('shows where there is no model, and makes no hole of what is unknown', () => {
    const found = countLandscape(
      [
        { language: 'eng', family: 'llama' },
        { language: 'eng', family: 'mamba' },
        { language: 'deu', family: 'llama' },
        { language: null, family: 'llama' },
      ],
      'language',
      'family',
    );
    expect(found.rows).toEqual(['eng', 'deu', 'unknown']);
    expect(found.holes).toEqual([{ row: 'deu', column: 'mamba' }]);
    expect(found.splits).toEqual([]);
  });

  it('finds them in three factors, where two alone show none', () => {
    const levels = ['eng', 'deu'].flatMap((language) =>
      ['llama', 'mamba'].flatMap((family) => ['1m', '2m'].map((size) => ({ language, family, size }))),
    );
    const models = levels.filter(
      ({ language, family, size }) => language !== 'deu' || family !== 'mamba' || size !== '2m',
    );
    const found = countLandscape([...models, { language: 'eng', size: null }], 'language', 'family', 'size');
    expect(found.holes).toEqual([]);
    expect(found.splits.map(({ level, holes }) => [level, holes])).toEqual([
      ['1m', []],
      ['2m', [{ row: 'deu', column: 'mamba' }]],
      ['unknown', []],
    ]);
    for (const [row, counts] of found.counts.entries()) {
      for (const [column, count] of counts.entries()) {
        const parts = found.splits.map((split) => split.counts[row]?.[column] ?? 0);
        expect(parts.reduce((sum, one) => sum + one, 0)).toBe(count);
      }
    }
  });
});
