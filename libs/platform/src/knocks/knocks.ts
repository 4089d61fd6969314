/**
 * A knock on the door: it carries a name and nothing else. Whoever hears it looks into the database for work.
 * Losing a knock only costs time, since every listener also wakes on a timer.
 */
export abstract class Knocks {
  /** Wakes one listener of this name somewhere. Never fails: a lost queue is logged, the timer covers it. */
  abstract knock(name: string): void;

  /**
   * Runs `handler` when knocked, and at least every `everyMs`. Runs never overlap in this process; knocks during
   * a run cause one more. An error is logged and the next knock or tick tries again.
   */
  abstract listen(name: string, everyMs: number, handler: () => Promise<void>): KnockListener;

  abstract close(): Promise<void>;
}

export interface KnockListener {
  /** Runs now, as if knocked. */
  wake(): void;
  /** Stops listening and waits for the run in progress. */
  close(): Promise<void>;
}
