import { Injectable } from '@nestjs/common';

/**
 * Wakes the long polls of this process when there is something for a cluster's agent. Only a short cut: a poll in
 * another process finds the same by looking into the database.
 */
@Injectable()
export class AgentBell {
  private readonly waiting = new Map<string, Set<() => void>>();

  ring(clusterId: string): void {
    for (const wake of this.waiting.get(clusterId) ?? []) wake();
  }

  /** Resolves when rung, aborted, or after the time. */
  wait(clusterId: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const set = this.waiting.get(clusterId) ?? new Set();
      this.waiting.set(clusterId, set);
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        set.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener('abort', done, { once: true });
      set.add(done);
      if (signal.aborted) done();
    });
  }
}
