import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../core/usage-error.js';
import { builtInText } from './built-in-texts.js';

/** The text of a corpus on this machine: a file of the given folder, or a built-in text. */
export function findText(
  corpusId: string,
  folder: string | undefined,
): { bytes: Buffer; format: 'text' | 'jsonl' } {
  for (const [ending, format] of [
    ['txt', 'text'],
    ['jsonl', 'jsonl'],
  ] as const) {
    const path = folder === undefined ? undefined : join(folder, `${corpusId}.${ending}`);
    if (path !== undefined && existsSync(path)) return { bytes: readFileSync(path), format };
  }
  const text = builtInText(corpusId);
  if (text !== undefined) return { bytes: Buffer.from(text), format: 'text' };
  throw new UsageError(
    `There is no text for corpus ${corpusId}: put ${corpusId}.txt or .jsonl into a folder and name it with --corpora`,
  );
}
