import { ReadAllocations } from '@beamtime/access';
import { CatalogueModule, catalogueConsumer } from '@beamtime/catalogue';
import { FactDelivery } from '@beamtime/platform';
import { JobTraces } from '@beamtime/scheduling';
import { Inject, Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { CorporaController } from './corpora.controller.js';
import { ModelsController } from './models.controller.js';
import { Proofs } from './proofs.js';
import { SuitesController } from './suites.controller.js';
import { Viewers } from './viewers.js';

/** Tells the catalogue what happened elsewhere. */
@Injectable()
class JoinCatalogueFacts implements OnModuleInit {
  constructor(@Inject(FactDelivery) private readonly delivery: FactDelivery) {}

  onModuleInit(): void {
    this.delivery.register(catalogueConsumer);
  }
}

/** Corpora, suites and models over HTTP. */
@Module({
  imports: [CatalogueModule],
  controllers: [CorporaController, SuitesController, ModelsController],
  providers: [ReadAllocations, Viewers, Proofs, JobTraces, JoinCatalogueFacts],
  exports: [CatalogueModule, Viewers, Proofs],
})
export class CatalogueControllersModule {}
