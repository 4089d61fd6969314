import type { Transactor } from '@beamtime/platform';
import { applyCommands, commandsPerBatchAtMost } from './apply-commands.js';

/** Actor in journal and audit log for what time alone does. */
const clock = 'facility:clock';

/**
 * Gives back holds whose time has run out and grants that have lapsed. Takes no input, may run anywhere and twice.
 * Returns how many it gave back.
 */
export async function reconcileHolds(transactor: Transactor): Promise<{ expired: number; lapsed: number }> {
  const expired = await repeat(transactor, async () => {
    const due = await transactor.read.rows<{ id: string }>(
      `SELECT id FROM access.hold WHERE state = 'pending' AND expires_at <= now() ORDER BY expires_at
       LIMIT ${commandsPerBatchAtMost}`,
    );
    return due.map(({ id }) => ({ kind: 'settle', hold: id, outcome: 'expire', actor: clock }) as const);
  });
  const lapsed = await repeat(transactor, async () => {
    const due = await transactor.read.rows<{ id: string }>(
      `SELECT id FROM access.account_grant WHERE balance > 0 AND balance > held AND expires_at <= now()
       ORDER BY expires_at LIMIT ${commandsPerBatchAtMost}`,
    );
    return due.map(({ id }) => ({ kind: 'lapse', grant: id, actor: clock }) as const);
  });
  return { expired, lapsed };
}

async function repeat(
  transactor: Transactor,
  findDue: () => Promise<Parameters<typeof applyCommands>[1]>,
): Promise<number> {
  let done = 0;
  for (;;) {
    const commands = await findDue();
    if (commands.length === 0) return done;
    const outcomes = await transactor.do((tx) => applyCommands(tx, commands));
    const changed = outcomes.filter((outcome) => outcome.ok && !outcome.value.replayed).length;
    done += changed;
    // Another process did these at the same time; what is left is for the next tick.
    if (changed === 0) return done;
  }
}
