import { IdentityModule } from '@beamtime/identity';
import { PlatformModule, runService } from '@beamtime/platform';
import { GovernanceServiceModule, governanceSchemas } from './governance-service.module.js';

const version = '0.1.0';

class GovernanceRoot {}

await runService('Beamtime governance', version, (config) => ({
  module: GovernanceRoot,
  imports: [
    PlatformModule.register({ service: 'governance', version, config, schemas: governanceSchemas }),
    IdentityModule,
    GovernanceServiceModule,
  ],
}));
