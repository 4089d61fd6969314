import { err, ok, type Problem, problem, type Result } from '@beamtime/kernel';
import type { ByteRange } from './object-store.js';

/** The bytes that a range means in an object of this size; an end past the last byte means the last byte. */
export function resolveRange(
  range: ByteRange | undefined,
  sizeBytes: number,
): Result<{ start: number; end: number } | undefined, Problem<'object-store.bad-range'>> {
  if (range === undefined) return ok(undefined);
  const end = Math.min(range.end ?? sizeBytes - 1, sizeBytes - 1);
  const { start } = range;
  if (Number.isInteger(start) && start >= 0 && start < sizeBytes && start <= end) return ok({ start, end });
  return err(
    problem('object-store.bad-range', `The object has ${sizeBytes} bytes: there is no such range in it.`, {
      sizeBytes,
    }),
  );
}
