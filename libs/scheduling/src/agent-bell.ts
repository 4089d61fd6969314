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
    for (const one of this.listening.get(clusterId) ?? []) {
      one.rung = true;
      one.wake?.();
    }
  }

  /** Listens from now on; a ring before `wait` is not lost. Close it. */
  listen(clusterId: string, incarnation: number): Ear {
    const one: Listening = { incarnation, rung: false, wake: undefined };
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

  /** Rings for every waiting agent that has an offer, a cancel or a stop to hear, or has been replaced. */
  private async look(): Promise<void> {
    const clusterIds = [...this.listening.keys()];
    if (clusterIds.length === 0) return;
    const rows = await this.transactor.read.rows<{ id: string; incarnation: number; told: boolean }>(
      `WITH told AS (
         SELECT cluster_id FROM scheduling.attempt WHERE state = 'offered'
         UNION
         SELECT cluster_id FROM scheduling.attempt WHERE state IN (${held}) AND preempt_reason IS NOT NULL
         UNION
         SELECT a.cluster_id FROM scheduling.job j JOIN scheduling.attempt a ON a.job_id = j.id
         WHERE j.state = 'running' AND j.cancel_requested_at IS NOT NULL AND a.state IN (${held})
       )
       SELECT id, incarnation, id IN (SELECT cluster_id FROM told) AS told FROM scheduling.cluster
       WHERE id = ANY ($1) AND state <> 'retired'`,
      [clusterIds],
    );
    const found = new Map(rows.map((row) => [row.id, row]));
    for (const [clusterId, all] of this.listening) {
      const row = found.get(clusterId);
      const replaced = [...all].some((one) => one.incarnation !== row?.incarnation);
      if (row?.told === true || replaced) this.ring(clusterId);
    }
  }
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
