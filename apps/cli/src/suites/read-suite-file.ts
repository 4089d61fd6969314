import { readFileSync } from 'node:fs';
import { type SuiteDesign, suiteDesignSchema } from '@beamtime/contracts';
import { parse } from 'yaml';
import { UsageError } from '../core/usage-error.js';

/** Larger than any design that a person writes. */
const suiteFileBytesMax = 4 * 1024 * 1024;

/** Reads a suite file, YAML or JSON; what does not fit is said with the field's name. */
export function readSuiteFile(path: string): SuiteDesign {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${(error as Error).message}`);
  }
  if (text.length > suiteFileBytesMax) throw new UsageError(`${path} is too large to be a suite file`);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100 });
  } catch (error) {
    throw new UsageError(`${path} is not YAML: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
  const parsed = suiteDesignSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const [first] = issues;
  const field = fieldOf(first?.path ?? []);
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  throw new UsageError(
    `${path}: ${field === '' ? '' : `${field}: `}${first?.message ?? 'not a suite'}${more}`,
  );
}

function fieldOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (field, part) =>
      typeof part === 'number'
        ? `${field}[${part}]`
        : field === ''
          ? String(part)
          : `${field}.${String(part)}`,
    '',
  );
}
