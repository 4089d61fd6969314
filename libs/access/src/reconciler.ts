import { type KnockListener, Knocks, Transactor } from '@beamtime/platform';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { expireAllocations } from './allocations/change-allocation.js';
import { reconcileHolds } from './ledger/reconcile-holds.js';

/** Holds of requests live for minutes: soon enough that nobody waits long for what a crash left. */
const reconcileEveryMs = 5_000;

/** Gives back what time has ended: holds, grants, allocations. Takes no input and may run in every process. */
@Injectable()
export class AccessReconciler implements OnApplicationBootstrap, OnApplicationShutdown {
  private listener: KnockListener | undefined;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Knocks) private readonly knocks: Knocks,
  ) {}

  onApplicationBootstrap(): void {
    this.listener = this.knocks.listen('access', reconcileEveryMs, async () => {
      await expireAllocations(this.transactor);
      await reconcileHolds(this.transactor);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener?.close();
  }
}
