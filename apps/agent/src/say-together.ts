import type { AdvanceResult, AttemptAssignment, advanceAttempts, ClientBodyOf } from '@beamtime/contracts';
import { pause } from './pause.js';

export type SaidItem = ClientBodyOf<typeof advanceAttempts>['items'][number];

interface Waiting {
  readonly item: SaidItem;
  readonly signal: AbortSignal;
  readonly resolve: (assignment: AttemptAssignment | null) => void;
  readonly reject: (error: unknown) => void;
}

export interface SayTogetherOptions {
  /** One call; answers each item in order. */
  readonly send: (items: SaidItem[]) => Promise<AdvanceResult[]>;
  /** What the refusal of one item means. */
  readonly meaning: (problem: { readonly code: string; readonly detail: string }) => unknown;
  /** Whether an error of the call goes away by itself. */
  readonly isPassing: (error: unknown) => boolean;
}

/** What is said within so long travels together. */
const gatherMs = 5;
/** As the protocol has it. */
const itemsPerCall = 200;
const retryBaseMs = 100;
const retryMaxMs = 2_000;

/**
 * Gathers what the attempts of this agent accept and report into few calls, in order, and repeats each until it is
 * answered: a cluster that runs hundreds of short jobs costs the facility a few commits instead of hundreds.
 */
export class SayTogether {
  private waiting: Waiting[] = [];
  private saying = false;

  constructor(private readonly options: SayTogetherOptions) {}

  /** Resolves when the item was done, with the assignment of an accept; rejects when refused, or aborted. */
  say(item: SaidItem, signal: AbortSignal): Promise<AttemptAssignment | null> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      this.waiting.push({ item, signal, resolve, reject });
      if (!this.saying) void this.sayAll();
    });
  }

  private async sayAll(): Promise<void> {
    this.saying = true;
    await pause(gatherMs);
    for (let tries = 0; this.waiting.length > 0; ) {
      this.waiting = this.waiting.filter(({ signal }) => !signal.aborted);
      const batch = this.waiting.slice(0, itemsPerCall);
      if (batch.length === 0) break;
      const isHeard = await this.sayOnce(batch);
      tries = isHeard ? 0 : tries + 1;
      if (!isHeard) await pause(Math.min(retryMaxMs, retryBaseMs * 2 ** (tries - 1)) * (0.5 + Math.random()));
    }
    this.saying = false;
  }

  /** False when some of it has to be said again: it stays in front of what has come since, so the order holds. */
  private async sayOnce(batch: readonly Waiting[]): Promise<boolean> {
    let results: AdvanceResult[];
    try {
      results = await this.options.send(batch.map(({ item }) => item));
    } catch (error) {
      if (this.options.isPassing(error)) return false;
      for (const one of batch) one.reject(error);
      this.waiting = this.waiting.slice(batch.length);
      return true;
    }
    const again: Waiting[] = [];
    for (const [i, one] of batch.entries()) {
      const result = results[i];
      if (result === undefined || (!result.ok && result.problem.code === 'server.internal')) again.push(one);
      else if (result.ok) one.resolve(result.assignment);
      else one.reject(this.options.meaning(result.problem));
    }
    this.waiting = [...again, ...this.waiting.slice(batch.length)];
    return again.length === 0;
  }
}
