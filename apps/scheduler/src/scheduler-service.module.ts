import { LedgerModule } from '@beamtime/access';
import { CatalogueModule } from '@beamtime/catalogue';
import { ReplicaDemand } from '@beamtime/inference';
import { Transactor } from '@beamtime/platform';
import { SchedulingModule } from '@beamtime/scheduling';
import { Module } from '@nestjs/common';
import { AgentsController } from './agents.controller.js';
import { ClustersController } from './clusters.controller.js';
import { FilesController } from './files.controller.js';
import { JobsController } from './jobs.controller.js';
import { JoinFacts } from './join-facts.js';
import { schedulingPorts } from './join-ports.js';
import { QuotasController } from './quotas.controller.js';
import { KeepReplicas } from './replicas/keep-replicas.js';
import { ServingController } from './replicas/serving.controller.js';
import { SubmissionsController } from './submissions.controller.js';
import { TesController } from './tes.controller.js';

/** Jobs, clusters and agents over HTTP, and the leader's loop. Needs PlatformModule and IdentityModule beside it. */
@Module({
  imports: [
    SchedulingModule.register({ ports: schedulingPorts, schedules: true, imports: [LedgerModule] }),
    CatalogueModule,
  ],
  controllers: [
    ClustersController,
    JobsController,
    QuotasController,
    ServingController,
    SubmissionsController,
    AgentsController,
    TesController,
    FilesController,
  ],
  providers: [
    {
      provide: ReplicaDemand,
      inject: [Transactor],
      useFactory: (transactor: Transactor) => new ReplicaDemand(transactor),
    },
    KeepReplicas,
    JoinFacts,
  ],
})
export class SchedulerServiceModule {}
