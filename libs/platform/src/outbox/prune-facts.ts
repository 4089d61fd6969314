import type { Transactor } from '../database/transactor.js';

/** Facts are kept this long after every consumer has seen them: time to look into what went wrong. */
const keepDays = 14;

/** Deletes old facts that every consumer has passed; keeps the outbox bounded. Returns how many went. */
export async function pruneFacts(transactor: Transactor): Promise<number> {
  return transactor.do((tx) =>
    tx.changed(
      `DELETE FROM platform.outbox WHERE created_at < now() - interval '${keepDays} days'
       AND NOT EXISTS (SELECT 1 FROM platform.outbox_cursor c WHERE (c.xid, c.id) < (outbox.xid, outbox.id))`,
    ),
  );
}
