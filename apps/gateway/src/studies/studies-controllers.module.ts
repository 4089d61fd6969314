import { LedgerModule } from '@beamtime/access';
import { FactDelivery } from '@beamtime/platform';
import { CreateStudy, StudiesModule, studiesConsumer } from '@beamtime/studies';
import { Inject, Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { CatalogueControllersModule } from '../catalogue/catalogue-controllers.module.js';
import { studyPorts } from './join-studies.js';
import { StudiesController } from './studies.controller.js';

/** Tells studies what their jobs reported. */
@Injectable()
class JoinStudyFacts implements OnModuleInit {
  constructor(@Inject(FactDelivery) private readonly delivery: FactDelivery) {}

  onModuleInit(): void {
    this.delivery.register(studiesConsumer);
  }
}

/** Studies over HTTP. */
@Module({
  imports: [StudiesModule, CatalogueControllersModule, LedgerModule],
  controllers: [StudiesController],
  providers: [...studyPorts, CreateStudy, JoinStudyFacts],
})
export class StudiesControllersModule {}
