import { err, ok, problem, type Result } from '@beamtime/kernel';
import type { BadKey } from './object-store.js';

/**
 * Narrower than S3's rules (1,024 bytes of anything), so that every key is also a file name on any disk, and
 * stands in a URL as it is: no `.` or `..`, no empty part, nothing to escape.
 */
const keyLengthMax = 512;
/** A part is a file name, in which an adapter doubles capitals and adds up to 42 characters: 255 at most. */
const partLengthMax = 100;
const partPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** The key, if it is one. */
export function checkKey(key: string): Result<string, BadKey> {
  const fits =
    key.length <= keyLengthMax &&
    key.split('/').every((part) => part.length <= partLengthMax && partPattern.test(part));
  if (fits) return ok(key);
  return err(
    problem(
      'object-store.bad-key',
      `An object key has up to ${keyLengthMax} characters: parts of letters, digits, ".", "_" and "-", up to ${partLengthMax} each, that do not begin with "." or "-", joined by single "/".`,
    ),
  );
}

/** A prefix is empty, or the beginning of some key. */
export function checkPrefix(prefix: string): Result<string, BadKey> {
  if (prefix === '') return ok(prefix);
  const completed = checkKey(prefix.endsWith('/') ? `${prefix}x` : prefix);
  return completed.ok ? ok(prefix) : completed;
}
