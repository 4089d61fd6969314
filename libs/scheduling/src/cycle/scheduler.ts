import { hostname } from 'node:os';
import {
  Elections,
  type KnockListener,
  Knocks,
  type LeaderHandle,
  type Leadership,
  LOGGER,
  Metrics,
  NotLeader,
  Transactor,
} from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Gauge, Histogram } from 'prom-client';
import { queueDepth } from '../jobs/queue-depth.js';
import { RunCycle } from './run-cycle.js';

/** Without any knock the leader looks this often. */
const cycleEveryMs = 500;
/** From one cycle's begin to the next: under load, what happens meanwhile is decided together. */
const cycleSpacingMs = 50;

/** Runs the cycle in whichever instance leads; the others stand by and take over. */
@Injectable()
export class Scheduler implements OnApplicationBootstrap, OnApplicationShutdown {
  private handle: LeaderHandle | undefined;
  private readonly cycleSeconds: Histogram;
  private readonly partSeconds: Histogram;
  private lastBeganMs = Number.NEGATIVE_INFINITY;

  constructor(
    @Inject(Elections) private readonly elections: Elections,
    @Inject(Knocks) private readonly knocks: Knocks,
    @Inject(RunCycle) private readonly cycle: RunCycle,
    @Inject(LOGGER) private readonly log: Logger,
    @Inject(Metrics) metrics: Metrics,
    @Inject(Transactor) transactor: Transactor,
  ) {
    this.cycleSeconds = new Histogram({
      name: 'beamtime_scheduler_cycle_seconds',
      help: 'Time of one cycle of the scheduler: sweep, snapshot, decide, apply',
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
      registers: [metrics.registry],
    });
    this.partSeconds = new Histogram({
      name: 'beamtime_scheduler_cycle_part_seconds',
      help: 'Time of the parts of a cycle: sweep, load (the snapshot), decide, apply (the offers)',
      labelNames: ['part'],
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 2],
      registers: [metrics.registry],
    });
    new Gauge({
      name: 'beamtime_scheduler_waiting_jobs',
      help: 'Jobs that wait in the queue',
      registers: [metrics.registry],
      async collect() {
        // While the database is away the rest is still to be seen; /health tells that it is.
        this.set(await queueDepth(transactor.read).catch(() => Number.NaN));
      },
    });
  }

  onApplicationBootstrap(): void {
    const holder = `${hostname()}/${process.pid}`;
    this.handle = this.elections.stand('scheduler', holder, (leadership) => this.work(leadership));
  }

  get isLeader(): boolean {
    return this.handle?.isLeader() ?? false;
  }

  private async work(leadership: Leadership): Promise<{ close(): Promise<void> }> {
    const listener: KnockListener = this.knocks.listen('schedule', cycleEveryMs, async () => {
      const moved = await this.turn(leadership);
      // A decision sees the first few of each shape: where some have gone, those behind them may start as well.
      if (moved > 0) listener.wake();
    });
    return Promise.resolve({ close: () => listener.close() });
  }

  /** Answers how many jobs were placed, or moved out of the way of others. */
  private async turn(leadership: Leadership): Promise<number> {
    const restMs = this.lastBeganMs + cycleSpacingMs - performance.now();
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    if (leadership.signal.aborted) return 0;
    this.lastBeganMs = performance.now();
    const end = this.cycleSeconds.startTimer();
    try {
      const decisions = await this.cycle.run(leadership);
      for (const [part, ms] of Object.entries(decisions.tookMs)) {
        this.partSeconds.observe({ part }, ms / 1_000);
      }
      return decisions.place.length + decisions.regrouped;
    } catch (error) {
      // Another leader was elected: its writes stand, ours changed nothing.
      if (!(error instanceof NotLeader)) throw error;
      this.log.info({ epoch: leadership.epoch.toString() }, 'no longer the leader');
      return 0;
    } finally {
      end();
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.handle?.close();
  }
}
