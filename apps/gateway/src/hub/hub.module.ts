import { Module } from '@nestjs/common';
import { CatalogueControllersModule } from '../catalogue/catalogue-controllers.module.js';
import { HubController } from './hub.controller.js';
import { ProofController } from './proof.controller.js';
import { SendFile } from './send-file.js';

/** The model hub: `HF_ENDPOINT=<this facility>` for `huggingface_hub` and `transformers`. */
@Module({
  imports: [CatalogueControllersModule],
  controllers: [HubController, ProofController],
  providers: [SendFile],
})
export class HubModule {}
