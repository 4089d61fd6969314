import type { Logger } from 'pino';
import type { KnockListener } from './knocks.js';

/** Runs a handler on demand and on a timer, one run at a time; wakes during a run cause exactly one more. */
export function coalesce(
  name: string,
  everyMs: number,
  handler: () => Promise<void>,
  log: Logger,
): KnockListener {
  let closed = false;
  let again = false;
  let running: Promise<void> | undefined;

  async function runUntilQuiet(): Promise<void> {
    do {
      again = false;
      try {
        await handler();
      } catch (error) {
        if (!closed)
          log.error(
            { err: error, reconciler: name },
            'reconciler failed; the next knock or tick tries again',
          );
      }
    } while (again && !closed);
    running = undefined;
  }

  function wake(): void {
    if (closed) return;
    again = true;
    running ??= runUntilQuiet();
  }

  const timer = setInterval(wake, everyMs);
  wake();
  return {
    wake,
    async close() {
      closed = true;
      clearInterval(timer);
      await running;
    },
  };
}
