import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationShutdown,
  type Provider,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, DiscoveryModule } from '@nestjs/core';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { AuditSealer } from './audit/audit-sealer.js';
import { CONFIG, type Config } from './config/load-config.js';
import type { ContextSchema } from './database/context-schema.js';
import { migrate, openDataSource } from './database/open-data-source.js';
import { Transactor } from './database/transactor.js';
import { AccessGuard } from './http/access.guard.js';
import { FacilityController, HEALTH_CHECKS, type HealthCheck, VERSION } from './http/facility.controller.js';
import { ProblemFilter } from './http/problem.filter.js';
import { BullmqKnocks } from './knocks/bullmq-knocks.js';
import { Knocks } from './knocks/knocks.js';
import { Elections } from './leader/elections.js';
import type { ObjectStore } from './object-store/object-store.js';
import { OBJECT_STORE, openObjectStore } from './object-store/open-object-store.js';
import { createLogger, LOGGER } from './observability/logger.js';
import { Metrics } from './observability/metrics.js';
import { PlatformGauges } from './observability/platform-gauges.js';
import { FactDelivery } from './outbox/fact-delivery.js';
import { platformSchema } from './postgres/platform-schema.js';

export interface PlatformOptions {
  readonly service: string;
  readonly version: string;
  readonly config: Config;
  /** The contexts that this process uses; their migrations run at the start. */
  readonly schemas: readonly ContextSchema[];
}

/** Closes what the platform opened, after everything that uses it. */
class PlatformShutdown implements OnApplicationShutdown {
  constructor(
    @Inject(Knocks) private readonly knocks: Knocks,
    @Inject(DataSource) private readonly dataSource: DataSource,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.knocks.close();
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }
}

/** Configuration, database, queues, outbox, audit, logs, metrics, guard and error filter of one process. */
@Module({})
export class PlatformModule {
  static register(options: PlatformOptions): DynamicModule {
    const { config } = options;
    const schemas = [platformSchema, ...options.schemas];
    const providers: Provider[] = [
      { provide: CONFIG, useValue: config },
      { provide: VERSION, useValue: options.version },
      { provide: LOGGER, useFactory: () => createLogger(options.service, config.BEAMTIME_LOG_LEVEL) },
      {
        provide: DataSource,
        useFactory: async () => {
          const dataSource = await openDataSource(config.DATABASE_URL, schemas);
          await migrate(dataSource, schemas);
          return dataSource;
        },
      },
      {
        provide: Knocks,
        inject: [LOGGER],
        useFactory: (log: Logger) => new BullmqKnocks(config.REDIS_URL, config.BEAMTIME_QUEUE_PREFIX, log),
      },
      { provide: OBJECT_STORE, useFactory: () => openObjectStore(config) },
      Transactor,
      Elections,
      Metrics,
      FactDelivery,
      {
        provide: HEALTH_CHECKS,
        inject: [DataSource, Knocks, OBJECT_STORE],
        useFactory: (dataSource: DataSource, knocks: Knocks, objects: ObjectStore): HealthCheck[] => [
          { name: 'postgres', check: async () => (await dataSource.query('SELECT 1')) !== undefined },
          { name: 'redis', check: async () => !(knocks instanceof BullmqKnocks) || (await knocks.ping()) },
          { name: 'objects', check: async () => (await objects.check()).ok },
        ],
      },
    ];
    return {
      module: PlatformModule,
      global: true,
      imports: [DiscoveryModule],
      controllers: [FacilityController],
      providers: [
        ...providers,
        AuditSealer,
        PlatformGauges,
        PlatformShutdown,
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
      exports: [
        CONFIG,
        VERSION,
        LOGGER,
        DataSource,
        Knocks,
        Transactor,
        Elections,
        Metrics,
        FactDelivery,
        OBJECT_STORE,
      ],
    };
  }
}
