import { randomUUID } from 'node:crypto';
import {
  createCapture,
  estimateCapture as estimateCaptureEndpoint,
  type InputOf,
  type ResponseOf,
  showCapture as showCaptureEndpoint,
} from '@beamtime/contracts';
import {
  Captures,
  captureInternals,
  estimateCapture,
  findModel,
  METERING,
  type Metering,
  MODEL_LOOKUP,
  type ModelLookup,
  ModelServing,
  requireGranted,
  showCapture,
} from '@beamtime/inference';
import type { ArtifactId } from '@beamtime/kernel';
import {
  type ApiKeyPrincipal,
  Endpoint,
  Gone,
  Input,
  Key,
  OBJECT_STORE,
  type ObjectStore,
  unwrap,
} from '@beamtime/platform';
import { Controller, Inject } from '@nestjs/common';

/** What happens inside models: activations and attention of one text. */
@Controller()
export class CapturesController {
  constructor(
    @Inject(MODEL_LOOKUP) private readonly models: ModelLookup,
    @Inject(METERING) private readonly metering: Metering,
    @Inject(ModelServing) private readonly serving: ModelServing,
    @Inject(OBJECT_STORE) private readonly store: ObjectStore,
    @Inject(Captures) private readonly captures: Captures,
  ) {}

  @Endpoint(estimateCaptureEndpoint)
  async estimate(
    @Input() input: InputOf<typeof estimateCaptureEndpoint>,
    @Key() caller: ApiKeyPrincipal,
    @Gone() signal: AbortSignal,
  ): Promise<ResponseOf<typeof estimateCaptureEndpoint>> {
    const { model, ...request } = input.body;
    const target = unwrap(await findModel(this.models, model));
    unwrap(requireGranted(await this.metering.grantedModels(caller), target));
    return unwrap(await estimateCapture(this.serving, { caller, target, request, signal }));
  }

  @Endpoint(createCapture)
  async create(
    @Input() input: InputOf<typeof createCapture>,
    @Key() caller: ApiKeyPrincipal,
    @Gone() signal: AbortSignal,
  ): Promise<ResponseOf<typeof createCapture>> {
    const { model, ...request } = input.body;
    const target = unwrap(await findModel(this.models, model));
    const requestId = `cap-${randomUUID()}`;
    return unwrap(
      await captureInternals(this.serving, this.metering, this.store, this.captures, {
        requestId,
        caller,
        target,
        request,
        signal,
      }),
    );
  }

  @Endpoint(showCaptureEndpoint)
  async show(
    @Input() input: InputOf<typeof showCaptureEndpoint>,
    @Key() caller: ApiKeyPrincipal,
  ): Promise<ResponseOf<typeof showCaptureEndpoint>> {
    return unwrap(await showCapture(this.store, this.captures, caller, input.params.captureId as ArtifactId));
  }
}
