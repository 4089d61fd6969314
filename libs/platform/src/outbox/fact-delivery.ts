import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Transactor } from '../database/transactor.js';
import { type KnockListener, Knocks } from '../knocks/knocks.js';
import { LOGGER } from '../observability/logger.js';
import { deliverFacts, type FactConsumer } from './deliver-facts.js';
import { pruneFacts } from './prune-facts.js';

/** Without any knock a fact waits at most this long. */
const deliverEveryMs = 1_000;
const pruneEveryMs = 3_600_000;

/** Runs every registered consumer of this process, on knocks and on a timer. */
@Injectable()
export class FactDelivery implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly consumers = new Map<string, FactConsumer>();
  private readonly listeners: KnockListener[] = [];

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Knocks) private readonly knocks: Knocks,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** Call from a module's constructor or onModuleInit; two consumers of one name are a mistake. */
  register(consumer: FactConsumer): void {
    if (this.consumers.has(consumer.name))
      throw new Error(`fact consumer ${consumer.name} is registered twice`);
    this.consumers.set(consumer.name, consumer);
  }

  onApplicationBootstrap(): void {
    this.listeners.push(this.knocks.listen('outbox', deliverEveryMs, () => this.deliverAll()));
    this.listeners.push(
      this.knocks.listen('outbox-prune', pruneEveryMs, async () => void (await pruneFacts(this.transactor))),
    );
  }

  /** Delivers to all consumers now; one that fails does not stop the others. */
  async deliverAll(): Promise<void> {
    const outcomes = await Promise.allSettled(
      [...this.consumers.values()].map((consumer) => deliverFacts(this.transactor, consumer, this.log)),
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        this.log.error({ err: outcome.reason as unknown }, 'fact delivery failed');
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.listeners.map((listener) => listener.close()));
  }
}
