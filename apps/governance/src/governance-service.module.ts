import { CatalogueModule, catalogueSchema } from '@beamtime/catalogue';
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
import { CatalogueLandscape } from './joins/catalogue-landscape.js';
import { CatalogueUtilisation } from './joins/catalogue-utilisation.js';
import { IdentityElectorate } from './joins/identity-electorate.js';
import { BallotsController } from './rounds/ballots.controller.js';
import { ProposalsController } from './rounds/proposals.controller.js';
import { RoundsController } from './rounds/rounds.controller.js';

/** What the governance service keeps in the database. */
export const governanceSchemas: readonly ContextSchema[] = [
  identitySchema,
  governanceSchema,
  catalogueSchema,
];

/**
 * Labs, logins, rounds, proposals, ballots and tallies over HTTP. Needs PlatformModule and IdentityModule beside it.
 */
@Module({
  imports: [IdentityControllersModule, CatalogueModule],
  controllers: [RoundsController, ProposalsController, BallotsController],
  providers: [
    ...governanceProviders,
    { provide: ELECTORATE, useClass: IdentityElectorate },
    { provide: LANDSCAPE, useClass: CatalogueLandscape },
    { provide: MEASURED_UTILISATION, useClass: CatalogueUtilisation },
  ],
})
export class GovernanceServiceModule {}
