import type pg from 'pg';
import type { DataSource } from 'typeorm';

export type Client = pg.Client & {
  processID: number;
  gated?: boolean;
  inTransaction?: boolean;
  /** What the open transaction has written so far. */
  written?: Written[];
  /** Incarnations of clusters that the open transaction was told. */
  seen?: Map<string, number>;
  ended?: boolean;
  over?: Promise<void>;
};
/** One write: its parameters, and which incarnations of clusters its transaction was told. */
export interface Written {
  readonly values: string;
  readonly seen: ReadonlyMap<string, number>;
}
type Connected = (error: unknown, client: unknown, release: unknown) => void;
interface Pool {
  totalCount: number;
  idleCount: number;
  options: { max: number };
  _clients: (Client & { _connected?: boolean })[];
  connect: (done: Connected) => void;
  on: (event: 'connect', listener: (client: Client) => void) => void;
}

/** A process's pool that serves one asker after the other, so that who gets which connection does not depend on real time. */
export class OneByOne {
  private readonly pool: Pool;
  private readonly askers: Connected[] = [];
  private serving = false;

  constructor(dataSource: DataSource, take: (client: Client) => void) {
    this.pool = (dataSource.driver as unknown as { master: Pool }).master;
    // TypeORM has opened the first one already.
    this.pool._clients.forEach(take);
    this.pool.on('connect', take);
    const connect = this.pool.connect.bind(this.pool);
    const serve = (): void => {
      const asker = this.serving ? undefined : this.askers.shift();
      if (asker === undefined) return;
      this.serving = true;
      connect((...args) => {
        this.serving = false;
        asker(...args);
        serve();
      });
    };
    this.pool.connect = (asker) => {
      this.askers.push(asker);
      serve();
    };
  }

  /** Somebody will have a connection without anybody else doing anything. */
  isOpening(): boolean {
    const { pool } = this;
    if (!this.serving) return false;
    if (pool.idleCount > 0 || pool.totalCount < pool.options.max) return true;
    return pool._clients.some((client) => client._connected === false);
  }
}
