import type { LoggerService } from '@nestjs/common';
import type { Logger } from 'pino';

/** Nest's own messages through our logger: its chatter at debug. */
export function nestLogger(log: Logger): LoggerService {
  return {
    log: (message: unknown) => log.debug({ nest: true }, String(message)),
    debug: (message: unknown) => log.trace({ nest: true }, String(message)),
    verbose: (message: unknown) => log.trace({ nest: true }, String(message)),
    warn: (message: unknown) => log.warn({ nest: true }, String(message)),
    error: (message: unknown, ...rest: unknown[]) => log.error({ nest: true, rest }, String(message)),
    fatal: (message: unknown) => log.fatal({ nest: true }, String(message)),
  };
}
