import { ModelLoads, reportEveryMs, TunnelHub } from '@beamtime/inference';
import { LOGGER } from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';

/** Tells every two seconds what this gateway has in flight; what follows for the replicas of models is decided elsewhere. */
@Injectable()
export class ReportLoads implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private telling: Promise<void> | undefined;

  constructor(
    @Inject(TunnelHub) private readonly hub: TunnelHub,
    @Inject(ModelLoads) private readonly loads: ModelLoads,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => {
      this.telling ??= this.tell().finally(() => {
        this.telling = undefined;
      });
    }, reportEveryMs);
    this.timer.unref();
  }

  private async tell(): Promise<void> {
    try {
      await this.loads.report(this.hub.loads());
    } catch (error) {
      // The database is away for a moment; while it is, nobody decides on replicas either.
      this.log.warn({ err: error }, 'the load of this gateway could not be told');
    }
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.telling;
    // Nothing is in flight here any more.
    await this.loads.report([]).catch(() => undefined);
  }
}
