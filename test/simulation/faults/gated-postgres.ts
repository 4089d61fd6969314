import { AsyncLocalStorage } from 'node:async_hooks';
import { idleInTransactionMs } from '@beamtime/platform';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import type { FaultPlan } from './fault-plan.js';
import { current, epochMs, type Host, type VirtualTime } from './virtual-time.js';

/** The request on whose behalf a statement is sent, and how many transactions it has committed. */
export const calls = new AsyncLocalStorage<{ commits: number }>();

/** So long a released statement may take before we ask PostgreSQL whether it waits for a lock. */
const askAfterMs = 4;
/** PostgreSQL looks for deadlocks after so long. */
export const deadlockTimeoutMs = 20;
const usesClock = /clock_timestamp|now\(\)|ledger_/;

/**
 * The clock of the simulated database. The functions lie in a schema that is searched before pg_catalog, so every
 * unqualified now() in our SQL, also in column defaults, means these. `sim.started` is set by each BEGIN; the
 * sequence holds the present, because its value is seen at once by everybody.
 */
export const clockSql = `
  CREATE SCHEMA sim;
  CREATE SEQUENCE sim.ticks MINVALUE 0;
  CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
    'SELECT pg_catalog.to_timestamp((SELECT last_value FROM sim.ticks) / 1000.0)';
  CREATE FUNCTION sim.now() RETURNS timestamptz STABLE LANGUAGE sql AS
    $f$ SELECT pg_catalog.to_timestamp(coalesce(nullif(pg_catalog.current_setting('sim.started', true), '')::bigint,
      (SELECT last_value FROM sim.ticks)) / 1000.0) $f$;`;

interface Waiting {
  readonly client: Client;
  readonly go: () => void;
  readonly done: Promise<unknown>;
}
type Client = pg.Client & {
  processID: number;
  gated?: boolean;
  inTransaction?: boolean;
  over?: Promise<void>;
};
type Pool = {
  totalCount: number;
  idleCount: number;
  options: { max: number };
  _clients: (Client & { _connected?: boolean })[];
  connect: (done: (error: unknown, client: unknown, release: unknown) => void) => void;
  on: (event: 'connect', listener: (client: Client) => void) => void;
};

/** Fault probabilities per statement. */
export interface StatementFaults {
  readonly killedBefore: number;
  readonly killedAfterCommit: number;
  readonly processCrashed: number;
  readonly processFrozen: number;
}

/**
 * Real PostgreSQL, one statement at a time: whoever wants to send one waits at the gate, and the seed says who is
 * next. Statements of different transactions so interleave as they might, and the same way at each replay. One that
 * waits for a lock stands aside until its lock is free.
 */
export class GatedPostgres {
  statements = 0;
  deadlocks = 0;
  /** How far the database's clock is off. */
  offsetMs = 0;
  private readonly ready: Waiting[] = [];
  private blocked: Waiting[] = [];
  private mayDeadlock = false;
  private connecting = new Map<object, Pool>();
  private readonly clients = new Map<Host, Set<Client>>();
  private readonly counts = new Map<Host, number>();
  private tickMs = -1;

  constructor(
    private readonly admin: pg.Client,
    private readonly time: VirtualTime,
    private readonly faults: FaultPlan,
    private readonly rates: StatementFaults,
    private readonly random: () => number,
    private readonly onCrash: (host: Host) => void,
    private readonly onFreeze: (forMs: number) => void,
  ) {}

  get clockMs(): number {
    return Math.round(epochMs + this.time.nowMs + this.offsetMs);
  }

  /** Puts the gate before every connection of a process. */
  guard(dataSource: DataSource, host: Host): void {
    const pool = (dataSource.driver as unknown as { master: Pool }).master;
    const mine = new Set<Client>();
    this.clients.set(host, mine);
    const take = (client: Client): void => {
      mine.add(client);
      client.on('error', () => undefined);
      client.over = new Promise((resolve) => client.on('end', resolve));
      client.on('end', () => mine.delete(client));
      this.guardClient(client);
    };
    // TypeORM has opened the first one already.
    pool._clients.forEach(take);
    pool.on('connect', take);
    const connect = pool.connect.bind(pool);
    pool.connect = (done) => {
      const key = {};
      this.connecting.set(key, pool);
      connect((...args) => {
        this.connecting.delete(key);
        done(...args);
      });
    };
  }

  private guardClient(client: Client): void {
    if (client.gated) return;
    client.gated = true;
    const send = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    client.query = ((...args: unknown[]) => {
      const host = current.getStore();
      const [text] = args;
      if (host === undefined || typeof text !== 'string' || typeof args.at(-1) === 'function') {
        return send(...args);
      }
      return this.passed(host, client, text, send, args);
    }) as never;
  }

  private async passed(
    host: Host,
    client: Client,
    text: string,
    send: (...args: unknown[]) => Promise<unknown>,
    args: unknown[],
  ): Promise<unknown> {
    const number = (this.counts.get(host) ?? 0) + 1;
    this.counts.set(host, number);
    const name = `sql/${host.name}/${number}`;
    if (this.faults.strikes(`${name}/frozen`, this.rates.processFrozen)) {
      this.freeze(host, this.faults.amount(`${name}/frozen`, 500, 45_000));
    }
    if (this.faults.strikes(`${name}/crashed`, this.rates.processCrashed)) this.onCrash(host);
    // A statement takes a moment, so that transactions overlap.
    await this.time.sleep(host.random() < 0.5 ? 0 : host.random() * 20, host);
    let finished: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      finished = resolve;
    });
    await new Promise<void>((go) => this.ready.push({ client, go, done }));
    try {
      if (this.faults.strikes(`${name}/killed`, this.rates.killedBefore)) await this.terminate([client]);
      const begins = text.startsWith('START TRANSACTION');
      if (begins) {
        this.tickMs = this.clockMs;
        client.inTransaction = true;
        return await send(
          `${text}; SET LOCAL sim.started = '${this.tickMs}'; SELECT setval('sim.ticks', ${this.tickMs})`,
        );
      }
      if (usesClock.test(text)) await this.tick();
      const answer = await send(...args);
      if (text === 'COMMIT' || text === 'ROLLBACK') client.inTransaction = false;
      const call = calls.getStore();
      if (text === 'COMMIT' && call !== undefined) call.commits++;
      if (text === 'COMMIT' && this.faults.strikes(`${name}/killed-after`, this.rates.killedAfterCommit)) {
        await this.terminate([client]);
        throw new Error('the connection was lost before the answer to COMMIT');
      }
      return answer;
    } catch (error) {
      if ((error as { code?: string }).code === '40P01') this.deadlocks++;
      throw error;
    } finally {
      finished();
    }
  }

  private async tick(): Promise<void> {
    if (this.tickMs === this.clockMs) return;
    this.tickMs = this.clockMs;
    await this.admin.query(`SELECT setval('sim.ticks', ${this.tickMs})`);
  }

  /** Ends connections as an administrator would; resolves when their transactions are undone and this side knows. */
  async terminate(clients: Iterable<Client>): Promise<void> {
    for (const { processID, over } of [...clients]) {
      const { rows } = await this.admin.query<{ ended: boolean }>(
        'SELECT pg_terminate_backend(pid, 5000) AS ended FROM pg_stat_activity WHERE pid = $1',
        [processID],
      );
      if (rows[0]?.ended === true) await over;
    }
  }

  /** A process of the facility stops for a while; PostgreSQL ends its open transactions if that takes too long. */
  freeze(host: Host, forMs: number): void {
    host.freeze(forMs);
    this.onFreeze(Math.min(forMs, idleInTransactionMs));
    this.time.after(idleInTransactionMs, undefined, async () => {
      if (!host.frozen || !host.alive) return;
      const idle = [...(this.clients.get(host) ?? [])].filter((client) => client.inTransaction === true);
      await this.terminate(idle);
    });
  }

  terminateAllOf(host: Host): Promise<void> {
    return this.terminate(this.clients.get(host) ?? []);
  }

  /** Lets everything run that can run now; afterwards only time can bring more. */
  async settle(): Promise<void> {
    for (;;) {
      await turn();
      if (this.ready.length === 0) {
        if (this.isConnecting()) continue;
        if (!this.mayDeadlock) return;
        // If they wait for each other, PostgreSQL ends one of them now and not at some later time of ours.
        this.mayDeadlock = false;
        await new Promise((resolve) => setTimeout(resolve, 2 * deadlockTimeoutMs));
        await this.releaseBlocked();
        continue;
      }
      const [next] = this.ready.splice(Math.floor(this.random() * this.ready.length), 1);
      if (next === undefined) continue;
      this.statements++;
      next.go();
      if (!(await this.finishes(next))) {
        this.blocked.push(next);
        this.mayDeadlock = true;
      }
      if (this.blocked.length > 0) await this.releaseBlocked();
    }
  }

  private isConnecting(): boolean {
    for (const pool of this.connecting.values()) {
      if (pool.idleCount > 0 || pool.totalCount < pool.options.max) return true;
      // A connection is being opened.
      if (pool._clients.some((client) => client._connected === false)) return true;
    }
    return false;
  }

  /** False when it waits for a lock. */
  private async finishes(one: Waiting): Promise<boolean> {
    for (;;) {
      if (await within(one.done, askAfterMs)) return true;
      if (await this.isBlocked(one)) return false;
    }
  }

  private async isBlocked(one: Waiting): Promise<boolean> {
    const { rows } = await this.admin.query<{ blocked: boolean }>(
      'SELECT cardinality(pg_blocking_pids($1)) > 0 AS blocked',
      [one.client.processID],
    );
    return rows[0]?.blocked === true;
  }

  private async releaseBlocked(): Promise<void> {
    const still: Waiting[] = [];
    for (const one of this.blocked) {
      if (!(await within(one.done, 0)) && !(await this.finishes(one))) still.push(one);
    }
    this.blocked = still;
  }
}

/** Microtasks, next ticks and callbacks of sockets that are due. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void work.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
