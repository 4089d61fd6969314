import { AccessServiceModule, accessSchemas } from '@beamtime/access-app';
import { GatewayServiceModule, gatewaySchemas } from '@beamtime/gateway-app';
import { GovernanceServiceModule, governanceSchemas } from '@beamtime/governance-app';
import { IdentityModule } from '@beamtime/identity';
import { type Config, type ContextSchema, PlatformModule } from '@beamtime/platform';
import { schedulerSchemas, schedulerServiceModule } from '@beamtime/scheduler-app';
import type { DynamicModule } from '@nestjs/common';

export const facilityVersion = '0.1.0';

/** Each context once, whichever services share it. */
const schemas: readonly ContextSchema[] = [
  ...new Set([...governanceSchemas, ...schedulerSchemas, ...accessSchemas, ...gatewaySchemas]),
];

class FacilityModule {}

/** All services in one process. */
export function facilityModule(config: Config): DynamicModule {
  return {
    module: FacilityModule,
    imports: [
      PlatformModule.register({ service: 'facility', version: facilityVersion, config, schemas }),
      IdentityModule,
      GovernanceServiceModule,
      schedulerServiceModule,
      AccessServiceModule,
      GatewayServiceModule,
    ],
  };
}
