/** The person asked for something that cannot be: exit code 2, one line that says what to write instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A login that ended without one: exit code 3. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
}

/** A check of the command itself came out negative (a certificate, a chain): exit code 1. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}
