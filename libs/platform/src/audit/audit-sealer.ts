import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Transactor } from '../database/transactor.js';
import { type KnockListener, Knocks } from '../knocks/knocks.js';
import { sealAudit } from './seal-audit.js';

const sealEveryMs = 2_000;

/** Keeps the audit chain sealed, on knocks and on a timer. */
@Injectable()
export class AuditSealer implements OnApplicationBootstrap, OnApplicationShutdown {
  private listener: KnockListener | undefined;

  constructor(
    @Inject(Transactor) private readonly transactor: Transactor,
    @Inject(Knocks) private readonly knocks: Knocks,
  ) {}

  onApplicationBootstrap(): void {
    this.listener = this.knocks.listen(
      'audit',
      sealEveryMs,
      async () => void (await sealAudit(this.transactor)),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.listener?.close();
  }
}
