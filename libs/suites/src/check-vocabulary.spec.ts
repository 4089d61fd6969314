import { describe, expect, it } from 'vitest';
import { expandSuite, faultOfVocabulary } from './index.js';
import { aSuiteDesign, someFactors } from './testing.js';

function faultWith(
  kind: 'bpe' | 'unigram',
  vocabSize: number,
  scope: 'shared' | 'per-language',
  bytes: number,
) {
  const tokenizer = [
    { name: 'bytes', kind: 'byte' as const },
    { name: 't', kind, vocabSize, scope },
  ];
  const design = aSuiteDesign({ factors: someFactors({ tokenizer }) });
  const cells = expandSuite(design);
  if (!cells.ok) throw new Error(cells.error.detail);
  return faultOfVocabulary(design, cells.value, () => bytes)?.detail;
}

describe('a vocabulary', () => {
  it('that its texts could give is left to the training of the tokenizer', () => {
    expect(faultWith('bpe', 258 + 1_999, 'shared', 1_000)).toBeUndefined();
    expect(faultWith('bpe', 258 + 999, 'per-language', 1_000)).toBeUndefined();
    expect(faultWith('unigram', 100_000, 'shared', 1_000)).toBeUndefined();
  });

  it('of more tokens than there are neighbours to join is refused by its field', () => {
    expect(faultWith('bpe', 258 + 2_000, 'shared', 1_000)).toMatch(
      /^factors\.tokenizer\[1\]\.vocabSize: 2,258 tokens cannot come from 2,000 bytes/,
    );
    expect(faultWith('bpe', 258 + 1_000, 'per-language', 1_000)).toMatch(/1,258 tokens .* 1,000 bytes/);
  });
});
