/** Raised when the program itself is wrong. Never caught to continue: it crashes the request or the process. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

export function assertNever(value: never): never {
  throw new InvariantViolation(`unreachable: ${JSON.stringify(value)}`);
}

/** The value, or a crash: for what the code around it has already proven to be there. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new InvariantViolation(`missing: ${what}`);
  return value;
}
