import type { Logger } from 'pino';
import { coalesce } from './coalesce.js';
import { type KnockListener, Knocks } from './knocks.js';

/** Knocks within one process, for tests that need no Redis. */
export class InProcessKnocks extends Knocks {
  private readonly listeners = new Map<string, Set<KnockListener>>();

  constructor(private readonly log: Logger) {
    super();
  }

  knock(name: string): void {
    for (const listener of this.listeners.get(name) ?? []) listener.wake();
  }

  listen(name: string, everyMs: number, handler: () => Promise<void>): KnockListener {
    const loop = coalesce(name, everyMs, handler, this.log);
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set.add(loop));
    return {
      wake: loop.wake,
      close: async () => {
        set.delete(loop);
        await loop.close();
      },
    };
  }

  async close(): Promise<void> {
    for (const set of this.listeners.values()) for (const listener of set) await listener.close();
    this.listeners.clear();
  }
}
