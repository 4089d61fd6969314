import type { SuiteDesign } from '@beamtime/contracts';
import { byteVocabSize, type Cell } from './cell.js';
import { type InvalidSuite, invalidSuite } from './expand-suite.js';
import { trainingCorpora } from './training-job-file.js';

/**
 * Tokens that a text of so many bytes can give at most: every merge of a byte-pair tokenizer joins two neighbours of
 * the text, of which there is one less each time. What it really gives is less, and only its training tells.
 */
function tokensAtMost(bytes: number): number {
  return byteVocabSize + Math.max(0, bytes - 1);
}

/**
 * The first tokenizer of a suite that wants more tokens than its texts could give, by the field to mend.
 * @param bytesOf the size of a corpus by its id; undefined where it is not known.
 */
export function faultOfVocabulary(
  design: SuiteDesign,
  cells: readonly Cell[],
  bytesOf: (corpusId: string) => number | undefined,
): InvalidSuite | undefined {
  for (const cell of cells) {
    const { name, kind, vocabSize } = cell.tokenizer;
    if (kind !== 'bpe') continue;
    const bytes = trainingCorpora(design, cell).reduce(
      (sum, { corpusId }) => sum + (bytesOf(corpusId) ?? Number.POSITIVE_INFINITY),
      0,
    );
    if (vocabSize > tokensAtMost(bytes)) {
      const index = design.factors.tokenizer.findIndex((level) => level.name === name);
      return invalidSuite(
        `factors.tokenizer[${index}].vocabSize`,
        `${vocabSize.toLocaleString('en')} tokens cannot come from ${bytes.toLocaleString('en')} bytes of text (${cell.name})`,
      );
    }
  }
  return undefined;
}
