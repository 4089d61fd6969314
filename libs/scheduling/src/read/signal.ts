/** Wakes everybody who waits, once for each ring. Nobody misses a ring that comes between two looks of his own. */
export class Signal {
  private rings = 0;
  private readonly waiting = new Set<() => void>();
  private readonly heard = new WeakMap<AbortSignal, number>();

  ring(): void {
    this.rings++;
    for (const wake of this.waiting) wake();
  }

  /** Resolves at the first ring since this reader's last wait, or when it is gone. */
  wait(reader: AbortSignal): Promise<void> {
    const missed = this.heard.get(reader) !== this.rings;
    this.heard.set(reader, this.rings);
    if (missed || reader.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.waiting.delete(done);
        reader.removeEventListener('abort', done);
        this.heard.set(reader, this.rings);
        resolve();
      };
      this.waiting.add(done);
      reader.addEventListener('abort', done, { once: true });
    });
  }

  static pause(ms: number, gone?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        gone?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      gone?.addEventListener('abort', done, { once: true });
      if (gone?.aborted === true) done();
    });
  }
}
