import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { LedgerModule } from '@beamtime/access';
import { CatalogueModule } from '@beamtime/catalogue';
import { ReadRounds } from '@beamtime/governance';
import {
  Captures,
  ModelLoads,
  ModelServing,
  ServedModels,
  TUNNEL_AUTHORITY,
  TunnelGate,
  TunnelHub,
  Upstreams,
} from '@beamtime/inference';
import { CONFIG, type Config, LOGGER, Transactor } from '@beamtime/platform';
import { AdmitTunnel, ClusterViews, JobViews } from '@beamtime/scheduling';
import { Module } from '@nestjs/common';
import type { Logger } from 'pino';
import { CatalogueControllersModule } from './catalogue/catalogue-controllers.module.js';
import { HubModule } from './hub/hub.module.js';
import { CapturesController } from './internals/captures.controller.js';
import { inferencePorts } from './join-ports.js';
import { OutputsController } from './outputs/outputs.controller.js';
import { ReportLoads } from './report-loads.js';
import { StatusController } from './status.controller.js';
import { StudiesControllersModule } from './studies/studies-controllers.module.js';

/**
 * Outputs, internals, the catalogue with its model hub, studies and the status page's figures over HTTP; agents connect
 * served models here.
 * Needs PlatformModule and IdentityModule beside it.
 */
@Module({
  imports: [LedgerModule, CatalogueModule, CatalogueControllersModule, HubModule, StudiesControllersModule],
  controllers: [OutputsController, CapturesController, StatusController],
  providers: [
    ...inferencePorts,
    TunnelHub,
    TunnelGate,
    { provide: TUNNEL_AUTHORITY, useClass: AdmitTunnel },
    {
      provide: ServedModels,
      inject: [Transactor],
      useFactory: (transactor: Transactor) => new ServedModels(transactor),
    },
    {
      provide: Captures,
      inject: [Transactor],
      useFactory: (transactor: Transactor) => new Captures(transactor),
    },
    {
      provide: ModelServing,
      inject: [TunnelHub, ServedModels],
      useFactory: (hub: TunnelHub, served: ServedModels) => new ModelServing(hub, served, hub.meter),
    },
    {
      provide: ModelLoads,
      inject: [Transactor],
      useFactory: (transactor: Transactor) =>
        new ModelLoads(transactor, `${hostname()}/${process.pid}/${randomUUID()}`),
    },
    {
      provide: Upstreams,
      inject: [CONFIG, LOGGER],
      useFactory: (config: Config, log: Logger) => new Upstreams(config.BEAMTIME_UPSTREAMS, log),
    },
    ReportLoads,
    ReadRounds,
    ClusterViews,
    JobViews,
  ],
})
export class GatewayServiceModule {}
