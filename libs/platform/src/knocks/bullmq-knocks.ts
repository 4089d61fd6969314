import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { coalesce } from './coalesce.js';
import { type KnockListener, Knocks } from './knocks.js';

/** Redis may be away for a while: commands wait no longer than this, the timers go on. */
const commandTimeoutMs = 5_000;

/** Knocks of one name that follow within so long travel as one: a busy service would otherwise knock at each commit. */
const gatherMs = 20;

/** Knocks over BullMQ: at least once, to one listener of a name, deduplicated while one is waiting. */
export class BullmqKnocks extends Knocks {
  private readonly queues = new Map<string, Queue>();
  private readonly listeners = new Set<KnockListener>();
  /** Names that knocked a moment ago, and whether they have again since. */
  private readonly recent = new Map<string, { again: boolean }>();
  private readonly connection: Redis;
  private closed = false;

  constructor(
    private readonly redisUrl: string,
    private readonly prefix: string,
    private readonly log: Logger,
  ) {
    super();
    this.connection = this.connect({ maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs });
  }

  knock(name: string): void {
    const recent = this.recent.get(name);
    if (recent === undefined) this.send(name);
    else recent.again = true;
  }

  /** The first at once; those that follow it in the next moment as one more after it, so none is lost. */
  private send(name: string): void {
    if (this.closed) return;
    const recent = { again: false };
    this.recent.set(name, recent);
    setTimeout(() => {
      this.recent.delete(name);
      if (recent.again) this.send(name);
    }, gatherMs).unref();
    // The job id deduplicates: while one knock waits, further ones add nothing.
    this.queueOf(name)
      .add('knock', {}, { jobId: 'knock', removeOnComplete: true, removeOnFail: true })
      .catch((error: unknown) => {
        if (!this.closed)
          this.log.warn({ err: error, knock: name }, 'knock not delivered; the timer covers it');
      });
  }

  listen(name: string, everyMs: number, handler: () => Promise<void>): KnockListener {
    const loop = coalesce(name, everyMs, handler, this.log);
    const workerConnection = this.connect({ maxRetriesPerRequest: null });
    const worker = new Worker(
      name,
      () => {
        loop.wake();
        return Promise.resolve();
      },
      { connection: workerConnection, prefix: this.prefix, concurrency: 1 },
    );
    let complained = false;
    worker.on('error', (error) => {
      if (complained || this.closed) return;
      complained = true;
      this.log.warn({ err: error, knock: name }, 'queue unreachable; working on the timer');
    });
    worker.on('ready', () => {
      complained = false;
    });
    const listener: KnockListener = {
      wake: loop.wake,
      close: async () => {
        this.listeners.delete(listener);
        await Promise.all([loop.close(), worker.close(true).catch(() => undefined)]);
        workerConnection.disconnect();
      },
    };
    this.listeners.add(listener);
    return listener;
  }

  /** Whether Redis answers now. */
  async ping(): Promise<boolean> {
    try {
      return (await this.connection.ping()) === 'PONG';
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.listeners].map((listener) => listener.close()));
    await Promise.all([...this.queues.values()].map((queue) => queue.close().catch(() => undefined)));
    this.connection.disconnect();
  }

  private queueOf(name: string): Queue {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = new Queue(name, { connection: this.connection, prefix: this.prefix });
      queue.on('error', () => undefined);
      this.queues.set(name, queue);
    }
    return queue;
  }

  private connect(options: { maxRetriesPerRequest: number | null; commandTimeout?: number }): Redis {
    const redis = new Redis(this.redisUrl, {
      ...options,
      enableOfflineQueue: options.maxRetriesPerRequest === null,
      retryStrategy: (tries) => Math.min(100 * 2 ** tries, 5_000),
    });
    let away = false;
    redis.on('error', (error: unknown) => {
      if (away || this.closed) return;
      away = true;
      this.log.warn({ err: error }, 'Redis is away; knocks are lost until it is back, timers go on');
    });
    redis.on('ready', () => {
      if (away) this.log.info('Redis is back');
      away = false;
    });
    return redis;
  }
}
