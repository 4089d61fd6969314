import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { LOGGER } from '../observability/logger.js';
import { type LeaderHandle, type Leadership, lead } from './lead.js';

/** Lets a reconciler that only one instance may run stand for election. */
@Injectable()
export class Elections {
  constructor(
    @Inject(DataSource) private readonly dataSource: DataSource,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** See `lead`. @param holder tells operators which process leads. */
  stand(
    name: string,
    holder: string,
    work: (leadership: Leadership) => Promise<{ close(): Promise<void> }>,
  ): LeaderHandle {
    return lead(this.dataSource, name, holder, work, this.log);
  }
}
