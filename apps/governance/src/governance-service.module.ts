import {
  ELECTORATE,
  governanceProviders,
  governanceSchema,
  LANDSCAPE,
  MEASURED_UTILISATION,
} from '@beamtime/governance';
import { identitySchema } from '@beamtime/identity';
import type { ContextSchema } from '@beamtime/platform';
import { Module } from '@nestjs/common';
import { IdentityControllersModule } from './identity/identity-controllers.module.js';
import { IdentityElectorate } from './joins/identity-electorate.js';
import { BallotsController } from './rounds/ballots.controller.js';
import { ProposalsController } from './rounds/proposals.controller.js';
import { RoundsController } from './rounds/rounds.controller.js';

/** What the governance service keeps in the database. */
export const governanceSchemas: readonly ContextSchema[] = [identitySchema, governanceSchema];

/**
 * Labs, logins, rounds, proposals, ballots and tallies over HTTP. Needs PlatformModule and IdentityModule beside it.
 */
@Module({
  imports: [IdentityControllersModule],
  controllers: [RoundsController, ProposalsController, BallotsController],
  providers: [
    ...governanceProviders,
    { provide: ELECTORATE, useClass: IdentityElectorate },
    { provide: LANDSCAPE, useValue: { models: () => Promise.resolve([]) } },
    { provide: MEASURED_UTILISATION, useValue: { on: () => Promise.resolve(null) } },
  ],
})
export class GovernanceServiceModule {}
