import { QueryRunnerAlreadyReleasedError, QueryRunnerProviderAlreadyReleasedError } from 'typeorm';

/** Of the operating system, and of PostgreSQL: it shuts down, has too many connections, or the connection failed. */
const codes = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|57P0[123]|08\d{3}|53300)$/;

/** What `pg` and `pg-pool` say, without a code, when a connection is gone or none is to be had. */
const sayings =
  /^(Connection terminated|Client (has encountered a connection error|was closed) and is not queryable|timeout exceeded when trying to connect)/;

/**
 * Whether an error means that PostgreSQL could not be reached, or not any more: nothing is wrong with the request, and
 * it may be repeated. TypeORM gives a lost connection up at once; whoever still uses it is told that it is released.
 */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof QueryRunnerAlreadyReleasedError) return true;
  if (error instanceof QueryRunnerProviderAlreadyReleasedError || sayings.test(error.message)) return true;
  const { code, driverError } = error as { code?: unknown; driverError?: unknown };
  return codes.test(String(code ?? '')) || isConnectionLost(driverError);
}
