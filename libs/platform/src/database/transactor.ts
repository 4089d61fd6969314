import { type FactOf, type FactType, facts } from '@beamtime/contracts';
import { type EventId, invariant, type Result } from '@beamtime/kernel';
import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import { newId } from '../identifiers/ids.js';
import { Knocks } from '../knocks/knocks.js';
import { isOutdatedStatement, StatementNames } from './statement-names.js';

export interface AuditEntry {
  /** Id of the person, cluster or part of the facility that did it. */
  readonly actor: string;
  /** What was done, `area.verb`. */
  readonly action: string;
  /** Id of what it was done to. */
  readonly subject: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** One open transaction and what belongs into it: rows, facts, audit entries, and knocks that wait for the commit. */
export class Tx {
  /** @internal */
  readonly knocksAfterCommit = new Set<string>();

  constructor(
    readonly manager: EntityManager,
    private readonly names = new StatementNames(),
  ) {}

  private async query(text: string, parameters: readonly unknown[]): Promise<unknown> {
    const name = this.names.nameOf(text);
    // TypeORM hands its statement on to pg as it is, and pg knows named ones; only TypeORM's types do not.
    const statement = name === undefined ? text : ({ name, text } as unknown as string);
    try {
      return await this.manager.query(statement, [...parameters]);
    } catch (error) {
      if (!isOutdated(error)) throw error;
      this.names.renew();
      // In a transaction everything has to begin anew, which the Transactor sees to.
      if (this.manager.queryRunner?.isTransactionActive) throw error;
      return this.query(text, parameters);
    }
  }

  /** Runs SQL and returns its rows, also those of `… RETURNING`. */
  async rows<T>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    const result = await this.query(sql, parameters);
    // TypeORM answers UPDATE and DELETE with [rows, count], everything else with rows.
    if (
      Array.isArray(result) &&
      result.length === 2 &&
      Array.isArray(result[0]) &&
      typeof result[1] === 'number'
    ) {
      return result[0] as T[];
    }
    return result as T[];
  }

  /** Runs SQL that returns at most one row. */
  async row<T>(sql: string, parameters: readonly unknown[] = []): Promise<T | undefined> {
    const found = await this.rows<T>(sql, parameters);
    invariant(found.length <= 1, 'expected at most one row');
    return found[0];
  }

  /** Runs an UPDATE or DELETE and tells how many rows it changed: the answer of a compare-and-set. */
  async changed(sql: string, parameters: readonly unknown[] = []): Promise<number> {
    const result = await this.query(sql, parameters);
    invariant(Array.isArray(result) && typeof result[1] === 'number', 'changed() is for UPDATE and DELETE');
    return result[1];
  }

  /** Writes a fact into the outbox: it is delivered if, and only if, this transaction commits. */
  async record<T extends FactType>(type: T, payload: FactOf<T>): Promise<EventId> {
    const [eventId] = await this.recordAll(type, [payload]);
    invariant(eventId !== undefined, 'one fact has one id');
    return eventId;
  }

  /** Writes many facts of one type at once, in order; for hot paths. */
  async recordAll<T extends FactType>(type: T, payloads: readonly FactOf<T>[]): Promise<EventId[]> {
    if (payloads.length === 0) return [];
    const eventIds = payloads.map(() => newId('Event'));
    await this.query(
      `INSERT INTO platform.outbox (event_id, type, payload)
       SELECT e.id, $2, e.payload FROM unnest($1::text[], $3::jsonb[]) WITH ORDINALITY AS e (id, payload, n) ORDER BY n`,
      [eventIds, type, payloads.map((payload) => JSON.stringify(facts[type].parse(payload)))],
    );
    this.knocksAfterCommit.add('outbox');
    return eventIds;
  }

  /** Appends to the audit log; the sealer links it into the hash chain after the commit. */
  async audit(entry: AuditEntry): Promise<void> {
    await this.query(
      'INSERT INTO platform.audit_entry (actor, action, subject, details) VALUES ($1, $2, $3, $4)',
      [entry.actor, entry.action, entry.subject, JSON.stringify(entry.details)],
    );
    this.knocksAfterCommit.add('audit');
  }

  /** Appends many entries at once, in order; for hot paths. */
  async auditAll(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.query(
      `INSERT INTO platform.audit_entry (actor, action, subject, details)
       SELECT e->>'actor', e->>'action', e->>'subject', e->'details'
       FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS each (e, n) ORDER BY n`,
      [JSON.stringify(entries)],
    );
    this.knocksAfterCommit.add('audit');
  }

  /** Wakes a reconciler once this transaction has committed. */
  knock(name: string): void {
    this.knocksAfterCommit.add(name);
  }
}

class Rollback {
  constructor(readonly outcome: Result<unknown, unknown>) {}
}

/** Serialization failure and deadlock: PostgreSQL asks to try again. */
const retriable = new Set(['40001', '40P01']);
const triesAtMost = 5;

/** Runs work in one transaction; commits on success, rolls back on an error value or a throw. */
@Injectable()
export class Transactor {
  private readonly names = new StatementNames();

  constructor(
    @Inject(DataSource) private readonly dataSource: DataSource,
    @Inject(Knocks) private readonly knocks: Knocks,
  ) {}

  /** The Result of the work; an error value rolls everything back. Retried on deadlock, so it may run more than once. */
  async run<T, E>(work: (tx: Tx) => Promise<Result<T, E>>): Promise<Result<T, E>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.once(work);
      } catch (error) {
        if (error instanceof Rollback) return error.outcome as Result<T, E>;
        if (attempt >= triesAtMost || !isRetriable(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 5 * 2 ** attempt * (0.5 + Math.random())));
      }
    }
  }

  /** Like `run` for work that cannot fail by value. */
  async do<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const outcome = await this.run<T, never>(async (tx) => ({ ok: true, value: await work(tx) }));
    invariant(outcome.ok, 'work without an error value');
    return outcome.value;
  }

  /** Reads outside a transaction. */
  get read(): Tx {
    return new Tx(this.dataSource.manager, this.names);
  }

  private async once<T, E>(work: (tx: Tx) => Promise<Result<T, E>>): Promise<Result<T, E>> {
    let knocks: ReadonlySet<string> = new Set();
    const outcome = await this.dataSource.transaction(async (manager) => {
      const tx = new Tx(manager, this.names);
      const done = await work(tx);
      if (!done.ok) throw new Rollback(done);
      knocks = tx.knocksAfterCommit;
      return done;
    });
    for (const name of knocks) this.knocks.knock(name);
    return outcome;
  }
}

function isRetriable(error: unknown): boolean {
  return (
    isOutdated(error) ||
    (error instanceof QueryFailedError &&
      retriable.has(String((error.driverError as { code?: unknown }).code)))
  );
}

function isOutdated(error: unknown): boolean {
  return error instanceof QueryFailedError && isOutdatedStatement(error.driverError);
}

/** Whether an error is PostgreSQL's unique violation, optionally of one named constraint. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const driver = error.driverError as { code?: unknown; constraint?: unknown };
  return driver.code === '23505' && (constraint === undefined || driver.constraint === constraint);
}
