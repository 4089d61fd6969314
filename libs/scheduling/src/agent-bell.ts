import { LOGGER, Transactor } from '@beamtime/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { heldStates } from './domain/attempt-lifecycle.js';

const held = heldStates.map((state) => `'${state}'`).join(', ');

/** How often this process looks for what another one has decided, in one query for all agents that wait here. */
const lookEveryMs = 250;

/** One waiting sync. */
export interface Ear {
  /** True once there may be something to hear; false when aborted or after the time. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  close(): void;
}

interface Listening {
  readonly incarnation: number;
  /** What there was to hear when it was last rung by a look: the same again is no news. */
  told: string | null;
  rung: boolean;
  wake: (() => void) | undefined;
}

/**
 * Wakes long polls when there is something for a cluster's agent: at once for what this process decided, and soon for
 * what another one did. However many agents wait, looking costs one query.
 */
@Injectable()
export class AgentBell {
  private readonly listening = new Map<string, Set<Listening>>();
  private looking: NodeJS.Timeout | undefined;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  ring(clusterId: string): void {
    for (const one of this.listening.get(clusterId) ?? []) ringOne(one);
  }

  /** Listens from now on; a ring before `wait` is not lost. Close it. */
  listen(clusterId: string, incarnation: number): Ear {
    const one: Listening = { incarnation, told: null, rung: false, wake: undefined };
    const all = this.listening.get(clusterId) ?? new Set();
    this.listening.set(clusterId, all.add(one));
    this.lookSoon();
    return {
      wait: (timeoutMs, signal) => waitFor(one, timeoutMs, signal),
      close: () => {
        all.delete(one);
        if (all.size === 0 && this.listening.get(clusterId) === all) this.listening.delete(clusterId);
      },
    };
  }

  private lookSoon(): void {
    this.looking ??= setTimeout(() => {
      this.look()
        // The database is away: the syncs find out by themselves.
        .catch((error: unknown) => this.log.debug({ err: error }, 'could not look for the agents that wait'))
        .finally(() => {
          this.looking = undefined;
          if (this.listening.size > 0) this.lookSoon();
        });
    }, lookEveryMs).unref();
  }

  /**
   * Rings for every waiting agent that has something else to hear than when a look last rang for it, or has been
   * replaced. What is to be told is summed up in one number, so that an agent that is busy with forty offers is not
   * woken four times a second for the same forty.
   */
  private async look(): Promise<void> {
    const clusterIds = [...this.listening.keys()];
    if (clusterIds.length === 0) return;
    const rows = await this.transactor.read.rows<{ id: string; incarnation: number; told: string | null }>(
      `WITH told AS (
         SELECT cluster_id, job_id, number, 0 AS what FROM scheduling.attempt WHERE state = 'offered'
         UNION ALL
         SELECT cluster_id, job_id, number, 1 FROM scheduling.attempt
         WHERE state IN (${held}) AND preempt_reason IS NOT NULL
         UNION ALL
         SELECT a.cluster_id, a.job_id, a.number, 2
         FROM scheduling.job j JOIN scheduling.attempt a ON a.job_id = j.id
         WHERE j.state = 'running' AND j.cancel_requested_at IS NOT NULL AND a.state IN (${held})
       ), summed AS (
         SELECT cluster_id, bit_xor(hashtextextended(job_id, number * 4 + what)) AS told FROM told GROUP BY cluster_id
       )
       SELECT c.id, c.incarnation, s.told FROM scheduling.cluster c LEFT JOIN summed s ON s.cluster_id = c.id
       WHERE c.id = ANY ($1) AND c.state <> 'retired'`,
      [clusterIds],
    );
    const found = new Map(rows.map((row) => [row.id, row]));
    for (const [clusterId, all] of this.listening) {
      const row = found.get(clusterId);
      for (const one of all) {
        const isNews = row?.told != null && row.told !== one.told;
        one.told = row?.told ?? null;
        if (isNews || one.incarnation !== row?.incarnation) ringOne(one);
      }
    }
  }
}

function ringOne(one: Listening): void {
  one.rung = true;
  one.wake?.();
}

function waitFor(one: Listening, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      one.wake = undefined;
      const { rung } = one;
      one.rung = false;
      resolve(rung);
    };
    const timer = setTimeout(done, Math.max(0, timeoutMs));
    signal.addEventListener('abort', done, { once: true });
    one.wake = done;
    if (one.rung || signal.aborted) done();
  });
}
