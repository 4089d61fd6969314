import { AsyncLocalStorage } from 'node:async_hooks';
import { type DestinationStream, type Logger, pino } from 'pino';

/** DI token of the process's logger. */
export const LOGGER = Symbol('Logger');

/** The request being served, for every log line written on its behalf. */
export const requestContext = new AsyncLocalStorage<{ readonly requestId: string }>();

const secretPaths = [
  'req.headers.authorization',
  'req.headers.cookie',
  'res.headers["set-cookie"]',
  '*.password',
  '*.token',
  '*.secret',
  '*.apiKey',
  'password',
  'token',
  'secret',
  'apiKey',
  // A failed statement carries its values and PostgreSQL quotes the row: a ballot that is still secret, a seed, a hash.
  'err.parameters',
  'err.detail',
  'err.driverError.detail',
];

/** Structured JSON logs on stderr (stdout belongs to programs), with request ids, without secrets. */
export function createLogger(
  service: string,
  level: string,
  destination: DestinationStream = pino.destination(2),
): Logger {
  return pino(
    {
      level,
      base: { service },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: secretPaths, censor: '[secret]' },
      mixin: () => requestContext.getStore() ?? {},
    },
    destination,
  );
}
