import { describe, expect, it } from 'vitest';
import { covers, withinPatterns } from './model-pattern.js';
import { smallAtMost, tierOf } from './tier.js';

describe('a pattern of models', () => {
  it('covers every model, those of a suite, or one', () => {
    const model = { modelId: 'mdl_1', suiteId: 'sui_1' };
    for (const pattern of ['*', 'sui_1', 'mdl_1']) expect(covers([pattern], model)).toBe(true);
    for (const patterns of [[], ['sui_2'], ['mdl_2']]) expect(covers(patterns, model)).toBe(false);
    expect(covers(['sui_1'], { modelId: 'mdl_1', suiteId: null })).toBe(false);
  });

  it('is within what was applied for when it was named there, or everything was', () => {
    expect(withinPatterns(['mdl_1'], ['*'])).toBe(true);
    expect(withinPatterns(['*'], ['*'])).toBe(true);
    expect(withinPatterns(['*'], ['mdl_1'])).toBe(false);
    expect(withinPatterns(['mdl_1', 'mdl_2'], ['mdl_1'])).toBe(false);
  });
});

it('an application is small when each of its units is', () => {
  const most = { unit: 'output_tokens' as const, amount: smallAtMost.output_tokens };
  expect(tierOf([most])).toBe('small');
  expect(tierOf([most, { unit: 'gpu_seconds', amount: smallAtMost.gpu_seconds + 1 }])).toBe('large');
});
