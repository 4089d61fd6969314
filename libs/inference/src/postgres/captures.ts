import type { Transactor } from '@beamtime/platform';
import { CaptureRow } from './capture.row.js';

/** The captures that were made, by allocation. */
export class Captures {
  constructor(private readonly transactor: Transactor) {}

  async add(row: CaptureRow): Promise<void> {
    await this.transactor.read.manager.insert(CaptureRow, row as never);
  }

  async find(id: string, allocationId: string): Promise<CaptureRow | undefined> {
    return (await this.transactor.read.manager.findOneBy(CaptureRow, { id, allocationId })) ?? undefined;
  }
}
