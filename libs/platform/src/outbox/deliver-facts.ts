import { type FactOf, type FactType, facts } from '@beamtime/contracts';
import type { Logger } from 'pino';
import type { Transactor, Tx } from '../database/transactor.js';

/** A consumer of facts. Its handler writes through the given transaction, so its effect is exactly once. */
export interface FactConsumer {
  /** Unique and stable: its cursor is stored under this name. */
  readonly name: string;
  readonly handlers: { readonly [T in FactType]?: (fact: DeliveredFact<T>, tx: Tx) => Promise<void> };
}

export interface DeliveredFact<T extends FactType = FactType> {
  readonly eventId: string;
  readonly type: T;
  readonly payload: FactOf<T>;
  readonly createdAt: Date;
}

/** A fact that does not fit its schema, as of another version: trying again cannot help. */
class UnreadableFact extends Error {
  override readonly name = 'UnreadableFact';
}

interface OutboxEntry {
  id: string;
  xid: string;
  event_id: string;
  type: string;
  payload: unknown;
  created_at: Date;
}

/** Facts handled per transaction: few, so that one poison fact repeats little work. */
const batchSize = 50;
/** Facts looked at per transaction: those that a consumer has no handler for cost it nothing but their place. */
const windowSize = 1_000;
/** A fact that fails this often is parked, so that it does not hold up the rest for ever. */
const failuresBeforeParking = 8;
const backoffBaseMs = 200;
const backoffMaxMs = 60_000;

/**
 * Delivers what is committed and not yet seen by this consumer, in commit order. Facts of transactions still in
 * flight hold back later ones (`xid < pg_snapshot_xmin`), so none is ever skipped. Returns how many were handled.
 */
export async function deliverFacts(
  transactor: Transactor,
  consumer: FactConsumer,
  log: Logger,
): Promise<number> {
  let total = 0;
  for (;;) {
    const { passed, more } = await deliverBatch(transactor, consumer, log);
    total += passed;
    if (!more) return total;
  }
}

async function deliverBatch(
  transactor: Transactor,
  consumer: FactConsumer,
  log: Logger,
): Promise<{ passed: number; more: boolean }> {
  const nothing = { passed: 0, more: false };
  await transactor.read.rows(
    `INSERT INTO platform.outbox_cursor (consumer, xid, id) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING`,
    [consumer.name],
  );
  return transactor.do(async (tx) => {
    const cursor = await tx.row<{ xid: string; id: string }>(
      `SELECT xid, id FROM platform.outbox_cursor
       WHERE consumer = $1 AND (retry_at IS NULL OR retry_at <= now()) FOR UPDATE SKIP LOCKED`,
      [consumer.name],
    );
    if (cursor === undefined) return nothing;
    const entries = await tx.rows<OutboxEntry>(
      `SELECT id, xid, event_id, type, created_at, CASE WHEN type = ANY ($3) THEN payload END AS payload
       FROM platform.outbox
       WHERE (xid, id) > ($1::bigint, $2::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
       ORDER BY xid, id LIMIT ${windowSize}`,
      [cursor.xid, cursor.id, Object.keys(consumer.handlers)],
    );
    let last: OutboxEntry | undefined;
    let passed = 0;
    let handled = 0;
    for (const entry of entries) {
      if (consumer.handlers[entry.type as FactType] === undefined) {
        last = entry;
        passed += 1;
        continue;
      }
      if (handled === batchSize) break;
      // A savepoint each: a fact that fails takes back its own writes only.
      await tx.rows('SAVEPOINT fact');
      try {
        await handle(consumer, entry, tx);
      } catch (error) {
        await tx.rows('ROLLBACK TO SAVEPOINT fact');
        if (last !== undefined) await advance(tx, consumer.name, last);
        await retreat(tx, consumer.name, entry, error, log);
        return nothing;
      }
      last = entry;
      passed += 1;
      handled += 1;
    }
    if (last !== undefined) await advance(tx, consumer.name, last);
    return { passed, more: passed < entries.length || entries.length === windowSize };
  });
}

async function handle(consumer: FactConsumer, entry: OutboxEntry, tx: Tx): Promise<void> {
  const type = entry.type as FactType;
  const handler = consumer.handlers[type] as ((fact: DeliveredFact, tx: Tx) => Promise<void>) | undefined;
  if (handler === undefined) return;
  const parsed = facts[type].safeParse(entry.payload);
  if (!parsed.success) throw new UnreadableFact(`${type} ${entry.event_id}: ${parsed.error.message}`);
  await handler({ eventId: entry.event_id, type, payload: parsed.data, createdAt: entry.created_at }, tx);
}

async function advance(tx: Tx, consumer: string, last: OutboxEntry): Promise<void> {
  await tx.rows(
    `UPDATE platform.outbox_cursor SET xid = $2::bigint, id = $3, failures = 0, retry_at = NULL, updated_at = now()
     WHERE consumer = $1`,
    [consumer, last.xid, last.id],
  );
}

/** After a failure: back off, or park the fact when it has failed too often. */
async function retreat(
  tx: Tx,
  consumer: string,
  entry: OutboxEntry,
  error: unknown,
  log: Logger,
): Promise<void> {
  const text = error instanceof Error ? error.message : String(error);
  const state = await tx.row<{ failures: number }>(
    'UPDATE platform.outbox_cursor SET failures = failures + 1 WHERE consumer = $1 RETURNING failures',
    [consumer],
  );
  const failures = state?.failures ?? 1;
  if (failures >= failuresBeforeParking || error instanceof UnreadableFact) {
    await tx.rows(
      'INSERT INTO platform.outbox_parked (consumer, event_id, error) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [consumer, entry.event_id, text.slice(0, 2_000)],
    );
    await advance(tx, consumer, entry);
    log.error(
      { err: error, consumer, eventId: entry.event_id },
      'fact parked; it will not be delivered to this consumer',
    );
    return;
  }
  const waitMs = Math.min(backoffMaxMs, backoffBaseMs * 2 ** failures);
  await tx.rows(
    `UPDATE platform.outbox_cursor SET retry_at = now() + $2 * interval '1 millisecond' WHERE consumer = $1`,
    [consumer, waitMs],
  );
  log.warn(
    { err: error, consumer, eventId: entry.event_id, failures, waitMs },
    'fact not handled; trying again',
  );
}
