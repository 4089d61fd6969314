import { IdentityModule } from '@beamtime/identity';
import { PlatformModule, runService } from '@beamtime/platform';
import { AccessServiceModule, accessSchemas } from './index.js';

const version = '0.1.0';

/** The access service alone. */
class AccessRoot {}

await runService('Beamtime access', version, (config) => ({
  module: AccessRoot,
  imports: [
    PlatformModule.register({ service: 'access', version, config, schemas: accessSchemas }),
    IdentityModule,
    AccessServiceModule,
  ],
}));
