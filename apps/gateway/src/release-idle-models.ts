import { ServedModels } from '@beamtime/inference';
import { type KnockListener, Knocks } from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';

/** A model that nobody asked for this long need not be kept loaded. */
const idleMs = 15 * 60_000;
const lookEveryMs = 60_000;

/** Lets go of served models that nobody asks. */
@Injectable()
export class ReleaseIdleModels implements OnApplicationBootstrap, OnApplicationShutdown {
  private listener: KnockListener | undefined;

  constructor(
    @Inject(Knocks) private readonly knocks: Knocks,
    @Inject(ServedModels) private readonly served: ServedModels,
  ) {}

  onApplicationBootstrap(): void {
    this.listener = this.knocks.listen(
      'idle-models',
      lookEveryMs,
      async () => void (await this.served.releaseIdle(idleMs)),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener?.close();
  }
}
