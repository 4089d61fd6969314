import { type KnockListener, Knocks } from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { CountRounds } from './count-rounds.js';
import { FollowSchedule } from './follow-schedule.js';
import { countKnock } from './knock-names.js';

/** Without any knock a closed vote waits at most this long for its count, and a deadline for its effect. */
const lookEveryMs = 1_000;

/** Follows schedules and counts closed votes, on a knock and on a timer. */
@Injectable()
export class RoundsReconciler implements OnApplicationBootstrap, OnApplicationShutdown {
  private listener: KnockListener | undefined;

  constructor(
    @Inject(Knocks) private readonly knocks: Knocks,
    @Inject(FollowSchedule) private readonly followSchedule: FollowSchedule,
    @Inject(CountRounds) private readonly countRounds: CountRounds,
  ) {}

  onApplicationBootstrap(): void {
    this.listener = this.knocks.listen(countKnock, lookEveryMs, async () => {
      await this.followSchedule.execute();
      await this.countRounds.execute();
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener?.close();
  }
}
