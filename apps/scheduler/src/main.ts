import { IdentityModule } from '@beamtime/identity';
import { type Config, PlatformModule, runService } from '@beamtime/platform';
import type { DynamicModule } from '@nestjs/common';
import { schedulerSchemas, schedulerServiceModule } from './index.js';

const version = '0.1.0';

/** The scheduler alone; several may run, one leads. */
class SchedulerModule {
  static register(config: Config): DynamicModule {
    return {
      module: SchedulerModule,
      imports: [
        PlatformModule.register({ service: 'scheduler', version, config, schemas: schedulerSchemas }),
        IdentityModule,
        schedulerServiceModule,
      ],
    };
  }
}

await runService('Beamtime scheduler', version, (config) => SchedulerModule.register(config));
