import { AsyncLocalStorage } from 'node:async_hooks';
import { hostname } from 'node:os';
import { idleInTransactionMs } from '@beamtime/platform';
import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { usesClock } from './database-clock.js';
import type { FaultPlan } from './fault-plan.js';
import { type Client, OneByOne, type Written } from './one-by-one.js';
import type { Trace } from './trace.js';
import { current, epochMs, type Host, turn, type VirtualTime } from './virtual-time.js';

/** The request on whose behalf a statement is sent, and the writes that it has committed. */
export const calls = new AsyncLocalStorage<{ readonly written: Written[] }>();

/** So long a released statement may take before we ask PostgreSQL whether it waits for a lock. */
const askAfterMs = 4;

/** More are only counted in the trace: where they differ, the next statements do. */
const fewRows = 3;

/** How the fence asks which process of a cluster is the present one. */
const readsIncarnations = /^SELECT id, incarnation FROM scheduling\.cluster\b/;
/** What changes rows; what locks them `FOR UPDATE` does not. */
const writes = /\b(INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\w+\.\w+)/i;

type Outcome = { readonly value: unknown } | { readonly error: Error & { code?: string } };

/** A statement from when it is sent to when its answer is heard. */
interface Statement {
  readonly client: Client;
  readonly release: () => void;
  readonly answered: Promise<void>;
  readonly hear: () => void;
  victim: boolean;
}

/** Fault probabilities per statement. */
export interface StatementFaults {
  readonly killedBefore: number;
  /** Also after a statement that is a transaction of its own. */
  readonly killedAfterCommit: number;
  /** Every connection of everybody is ended, as when PostgreSQL is restarted. */
  readonly serverRestarted: number;
  readonly processCrashed: number;
  readonly processCrashedAfterCommit: number;
  readonly processFrozen: number;
}

interface Surroundings {
  readonly admin: pg.Client;
  readonly time: VirtualTime;
  readonly faults: FaultPlan;
  readonly rates: StatementFaults;
  readonly random: () => number;
  readonly trace: Trace;
  readonly onCrash: (host: Host) => void;
  readonly onFreeze: (forMs: number) => void;
  readonly onRestart: () => void;
}

/**
 * Real PostgreSQL, one statement at a time: whoever wants to send one waits at the gate, and the seed says who is
 * next. Its answer, and those of the statements that waited for locks which it gave back, are heard one after the
 * other, each only when all that the one before it caused has come to rest. So transactions interleave at every
 * statement as they might, and the same way at each replay.
 */
export class GatedPostgres {
  statements = 0;
  deadlocks = 0;
  lockWaits = 0;
  /** How far the database's clock is off. */
  offsetMs = 0;
  private ready: Statement[] = [];
  private blocked: Statement[] = [];
  private readonly pools: OneByOne[] = [];
  private readonly clients = new Map<Host, Set<Client>>();
  private readonly counts = new Map<Host, number>();
  private tickMs = -1;

  constructor(private readonly around: Surroundings) {}

  get clockMs(): number {
    return Math.round(epochMs + this.around.time.nowMs + this.offsetMs);
  }

  /** Puts the gate before every connection of a process. */
  guard(dataSource: DataSource, host: Host): void {
    const mine = new Set<Client>();
    this.clients.set(host, mine);
    this.pools.push(
      new OneByOne(dataSource, (client) => {
        mine.add(client);
        client.on('error', () => undefined);
        client.over = new Promise((resolve) => {
          client.on('end', () => {
            mine.delete(client);
            client.ended = true;
            resolve();
          });
        });
        this.guardClient(client);
      }),
    );
  }

  private guardClient(client: Client): void {
    if (client.gated) return;
    client.gated = true;
    const send = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    client.query = ((...args: unknown[]) => {
      const host = current.getStore();
      if (host === undefined || typeof args.at(-1) === 'function') return send(...args);
      const [statement, values] = args as [string | { text: string }, unknown[] | undefined];
      const text = typeof statement === 'string' ? statement : statement.text;
      // What passed by the gate would be seen by nobody, and at a time of its own.
      if (typeof text !== 'string') throw new Error('a statement that the gate does not know');
      return this.passed(host, client, text, values, (again) =>
        again === undefined ? send(...args) : send(again, values),
      );
    }) as never;
  }

  private async passed(
    host: Host,
    client: Client,
    text: string,
    values: unknown[] | undefined,
    send: (instead?: string) => Promise<unknown>,
  ): Promise<unknown> {
    const { time, faults, rates } = this.around;
    const number = (this.counts.get(host) ?? 0) + 1;
    this.counts.set(host, number);
    const name = `sql/${host.name}/${number}`;
    if (faults.strikes(`${name}/frozen`, rates.processFrozen)) {
      this.freeze(host, faults.amount(`${name}/frozen`, 500, 45_000));
    }
    if (faults.strikes(`${name}/crashed`, rates.processCrashed)) this.around.onCrash(host);
    // A statement takes a moment, so that transactions overlap.
    await time.sleep(host.random() < 0.5 ? 0 : host.random() * 20, host);
    const answered = signal();
    const heard = signal();
    const released = signal();
    const statement: Statement = {
      client,
      release: released.give,
      answered: answered.given,
      hear: heard.give,
      victim: false,
    };
    this.ready.push(statement);
    await released.given;
    const outcome = await this.perform(host, client, name, text, values, send).then(
      (value): Outcome => ({ value }),
      (error: Error): Outcome => ({ error }),
    );
    answered.give();
    await heard.given;
    const said = `${text} ${JSON.stringify(values)} ${toldBy(outcome)}`;
    this.around.trace.note(`${time.nowMs} ${name} ${said.replaceAll(thisProcess, host.name)}`);
    // A frozen process hears it when it wakes, a dead one never.
    if (host.frozen || !host.alive) await time.sleep(0, host);
    if (!('error' in outcome)) return outcome.value;
    if (statement.victim) {
      // PostgreSQL would have ended it by itself, but at a time of its own.
      this.deadlocks++;
      Object.assign(outcome.error, { code: '40P01', message: 'deadlock detected' });
    }
    throw outcome.error;
  }

  private async perform(
    host: Host,
    client: Client,
    name: string,
    text: string,
    values: unknown[] | undefined,
    send: (instead?: string) => Promise<unknown>,
  ): Promise<unknown> {
    const { faults, rates } = this.around;
    if (faults.strikes(`${name}/killed`, rates.killedBefore)) await this.terminate([client]);
    if (faults.strikes(`${name}/server-restarted`, rates.serverRestarted)) {
      this.around.onRestart();
      for (const all of this.clients.values()) await this.terminate(all);
    }
    if (text.startsWith('START TRANSACTION')) {
      this.tickMs = this.clockMs;
      client.inTransaction = true;
      client.written = [];
      client.seen = new Map();
      return send(
        `${text}; SET LOCAL sim.started = '${this.tickMs}'; SELECT setval('sim.ticks', ${this.tickMs})`,
      );
    }
    if (usesClock.test(text)) await this.tick();
    if (text.includes('pg_terminate_backend')) return this.performTermination(text, send);
    const answer = await send();
    if (readsIncarnations.test(text)) {
      for (const { id, incarnation } of (answer as { rows: { id: string; incarnation: number }[] }).rows)
        client.seen?.set(id, incarnation);
    }
    if (text === 'ROLLBACK') client.inTransaction = false;
    const isWrite = writes.test(text);
    const write: Written = { values: JSON.stringify(values), seen: client.seen ?? new Map() };
    if (isWrite && client.inTransaction === true) client.written?.push(write);
    const commits = text === 'COMMIT' || (isWrite && client.inTransaction !== true);
    if (!commits) return answer;
    const written = text === 'COMMIT' ? (client.written ?? []) : [write];
    client.inTransaction = false;
    calls.getStore()?.written.push(...written);
    if (faults.strikes(`${name}/crashed-after`, rates.processCrashedAfterCommit)) this.around.onCrash(host);
    if (faults.strikes(`${name}/killed-after`, rates.killedAfterCommit)) {
      await this.terminate([client]);
      throw new Error('Connection terminated unexpectedly');
    }
    return answer;
  }

  /** A process ends another's connection: what follows from it is there before anything else happens. */
  private async performTermination(
    text: string,
    send: (instead?: string) => Promise<unknown>,
  ): Promise<unknown> {
    const answer = await send(
      text.replace(/pg_terminate_backend\(([\w.]+)\)/, 'pg_terminate_backend($1, 5000)'),
    );
    const { rows } = await this.around.admin.query<{ pid: number }>('SELECT pid FROM pg_stat_activity');
    const alive = new Set(rows.map(({ pid }) => pid));
    for (const mine of this.clients.values())
      for (const client of [...mine]) if (!alive.has(client.processID)) await client.over;
    return answer;
  }

  private async tick(): Promise<void> {
    if (this.tickMs === this.clockMs) return;
    this.tickMs = this.clockMs;
    await this.around.admin.query(`SELECT setval('sim.ticks', ${this.tickMs})`);
  }

  /** Ends connections as an administrator would; resolves when their transactions are undone and this side knows. */
  async terminate(clients: Iterable<Client>): Promise<void> {
    for (const client of [...clients]) {
      if (client.ended === true) continue;
      const { rows } = await this.around.admin.query<{ ended: boolean }>(
        'SELECT pg_terminate_backend(pid, 5000) AS ended FROM pg_stat_activity WHERE pid = $1',
        [client.processID],
      );
      if (rows[0]?.ended === true) await client.over;
    }
  }

  /** A process of the facility stops for a while; PostgreSQL ends its open transactions if that takes too long. */
  freeze(host: Host, forMs: number): void {
    host.freeze(forMs);
    this.around.onFreeze(Math.min(forMs, idleInTransactionMs));
    this.around.time.serially(idleInTransactionMs, async () => {
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
    await this.quiet();
    // Something may have been ended since.
    if (this.blocked.length > 0) await this.tell(await this.unblocked());
    while (this.ready.length > 0) {
      const [next] = this.ready.splice(Math.floor(this.around.random() * this.ready.length), 1);
      if (next === undefined) continue;
      this.statements++;
      next.release();
      const done = (await this.answers(next)) ? [next] : [];
      if (done.length === 0) {
        this.lockWaits++;
        this.blocked.push(next);
        await this.breakDeadlock(next);
      }
      // Within a transaction nothing is given back.
      if (this.blocked.length > 0 && next.client.inTransaction !== true)
        done.push(...(await this.unblocked()));
      await this.tell(done);
    }
  }

  private async tell(done: readonly Statement[]): Promise<void> {
    for (const one of done) {
      one.hear();
      await this.quiet();
    }
  }

  /** Until nothing goes on by itself any more: no callback, no connection that is being opened. */
  private async quiet(): Promise<void> {
    const { time } = this.around;
    for (;;) {
      await turn();
      if (this.pools.some((pool) => pool.isOpening())) await new Promise((resolve) => setTimeout(resolve, 1));
      else if (time.immediates === 0) return;
    }
  }

  /** False when it waits for a lock. */
  private async answers(one: Statement): Promise<boolean> {
    for (;;) {
      if (await within(one.answered, askAfterMs)) return true;
      if ((await this.waitsFor([one])).get(one)?.length) return false;
    }
  }

  /** Those that need not wait any more, in the order in which they began to. */
  private async unblocked(): Promise<Statement[]> {
    const done: Statement[] = [];
    for (let changed = true; changed && this.blocked.length > 0; ) {
      changed = false;
      const waits = await this.waitsFor(this.blocked);
      const still: Statement[] = [];
      for (const one of this.blocked) {
        if (waits.get(one)?.length || !(await this.answers(one))) {
          still.push(one);
          continue;
        }
        done.push(one);
        changed = true;
      }
      this.blocked = still;
    }
    return done;
  }

  /** Whom each waits for, by the pids of their backends; nobody if its lock was given to it. */
  private async waitsFor(statements: readonly Statement[]): Promise<Map<Statement, number[]>> {
    const { rows } = await this.around.admin.query<{ by: number[] }>(
      'SELECT pg_blocking_pids(pid) AS by FROM unnest($1::int[]) WITH ORDINALITY AS each (pid, n) ORDER BY n',
      [statements.map(({ client }) => client.processID)],
    );
    return new Map(statements.map((one, n) => [one, rows[n]?.by ?? []]));
  }

  /** PostgreSQL ends one of those that wait for each other; here the seed says which. */
  private async breakDeadlock(latest: Statement): Promise<void> {
    const waits = await this.waitsFor(this.blocked);
    const byPid = new Map(this.blocked.map((one) => [one.client.processID, one]));
    const circle = circleOf(latest, (one) => (waits.get(one) ?? []).flatMap((pid) => byPid.get(pid) ?? []));
    if (circle === undefined) return;
    const victim = circle[Math.floor(this.around.random() * circle.length)] ?? latest;
    victim.victim = true;
    await this.around.admin.query('SELECT pg_cancel_backend($1)', [victim.client.processID]);
    await victim.answered;
    // It is told at once, together with those that waited for it.
    await this.tell(await this.unblocked());
  }
}

/** A way from a statement over those that it waits for back to itself. */
function circleOf(
  start: Statement,
  next: (one: Statement) => readonly Statement[],
): readonly Statement[] | undefined {
  const seen = new Set<Statement>();
  const walk = (one: Statement, way: readonly Statement[]): readonly Statement[] | undefined => {
    for (const other of next(one)) {
      if (other === start) return way;
      if (seen.has(other)) continue;
      seen.add(other);
      const found = walk(other, [...way, other]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return walk(start, [start]);
}

/** What a candidate for leader calls itself; the same for all of a world, and another at each replay. */
const thisProcess = `${hostname()}/${process.pid}`;
function toldBy(outcome: Outcome): string {
  if ('error' in outcome) return outcome.error.code ?? outcome.error.message;
  const { rows } = outcome.value as { rows?: readonly unknown[] };
  if (rows === undefined) return '';
  return rows.length > fewRows ? `${rows.length} rows` : JSON.stringify(rows);
}

function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give };
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
