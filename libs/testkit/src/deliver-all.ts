import { createLogger, deliverFacts, type FactConsumer, type Transactor } from '@beamtime/platform';

const patienceMs = 20_000;
const againAfterMs = 20;
const log = createLogger('test', 'silent');

/**
 * Delivers until this consumer has seen every fact that is committed by now. One delivery may not be enough: a
 * transaction that is open anywhere on the server, as of a test beside this one, holds facts back for a moment.
 */
export async function deliverAll(transactor: Transactor, consumer: FactConsumer): Promise<void> {
  const deadlineMs = Date.now() + patienceMs;
  for (;;) {
    await deliverFacts(transactor, consumer, log);
    const [left] = await transactor.read.rows<{ facts: string }>(
      `SELECT count(*) AS facts FROM platform.outbox o, platform.outbox_cursor c
       WHERE c.consumer = $1 AND (o.xid, o.id) > (c.xid, c.id)`,
      [consumer.name],
    );
    if (left?.facts === '0') return;
    if (Date.now() > deadlineMs) throw new Error(`${consumer.name} has ${left?.facts} facts left to see`);
    await new Promise((resolve) => setTimeout(resolve, againAfterMs));
  }
}
