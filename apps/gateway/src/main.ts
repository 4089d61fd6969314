import { IdentityModule } from '@beamtime/identity';
import { PlatformModule, runService } from '@beamtime/platform';
import { GatewayServiceModule, gatewaySchemas } from './index.js';

const version = '0.1.0';

/** The gateway alone. */
class GatewayRoot {}

await runService('Beamtime gateway', version, (config) => ({
  module: GatewayRoot,
  imports: [
    PlatformModule.register({ service: 'gateway', version, config, schemas: gatewaySchemas }),
    IdentityModule,
    GatewayServiceModule,
  ],
}));
