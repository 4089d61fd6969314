import { ConfigError, ServerAwayError } from './load-config.js';

/** sysexits.h: a wrong setting (do not restart in a loop), and a server that is not there yet. */
const exitCodes = { crashed: 1, unavailable: 69, config: 78 } as const;

/** What a process says when it could not start, and how it ends: one line for what an operator can put right. */
export function explainFailedStart(error: unknown): { exitCode: number; text: string } {
  if (error instanceof ConfigError) return { exitCode: exitCodes.config, text: error.message };
  if (error instanceof ServerAwayError) return { exitCode: exitCodes.unavailable, text: error.message };
  const { code, syscall, address, port } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  if (syscall === 'listen' && (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL')) {
    const why = {
      EADDRINUSE: 'another program listens there',
      EACCES: 'this user may not',
      EADDRNOTAVAIL: 'this machine has no such address',
    }[code];
    return {
      exitCode: exitCodes.config,
      text: `BEAMTIME_HOST, PORT: cannot listen on ${address}:${port}, ${why}.`,
    };
  }
  return {
    exitCode: exitCodes.crashed,
    text: error instanceof Error ? String(error.stack ?? error) : String(error),
  };
}
