import { err, invariant, ok, type Result } from '@beamtime/kernel';
import type { Tx } from '@beamtime/platform';
import type { LedgerAnswer, LedgerCommand, LedgerProblem } from '../domain/ledger/ledger-command.js';

/** Commands in one transaction: enough to share a commit, few enough that nobody waits long for the lock. */
export const commandsPerBatchAtMost = 200;

type Answered =
  | ({ ok: true } & LedgerAnswer)
  | { ok: false; code: LedgerProblem['code']; detail: string; facts: Record<string, unknown> };

export type LedgerOutcome = Result<LedgerAnswer, LedgerProblem>;

/**
 * Does the commands in order within the transaction and writes those that changed something into the audit log.
 * A refused command changes nothing, so the caller may go on with the others.
 * @param at stands for the clock in tests; the database's own otherwise.
 */
export async function applyCommands(
  tx: Tx,
  commands: readonly LedgerCommand[],
  at?: Date,
): Promise<LedgerOutcome[]> {
  invariant(commands.length <= commandsPerBatchAtMost, 'a batch of the ledger is bounded');
  for (const command of commands) checkAmounts(command);
  const row = await tx.row<{ answers: Answered[] }>(
    'SELECT access.ledger_apply($1::jsonb, $2::timestamptz) AS answers',
    [JSON.stringify(commands), at ?? null],
  );
  const answers = row?.answers ?? [];
  invariant(answers.length === commands.length, 'the ledger answers each command');
  await tx.auditAll(
    answers.flatMap((answer, i) => {
      const command = commands[i];
      return answer.ok && !answer.replayed && command !== undefined ? [auditOf(command, answer)] : [];
    }),
  );
  return answers.map((answer) =>
    answer.ok
      ? ok(answer)
      : err({ code: answer.code, detail: answer.detail, facts: answer.facts } satisfies LedgerProblem),
  );
}

/** A wrong amount is a mistake of the program: what people send is checked at the edge. */
function checkAmounts(command: LedgerCommand): void {
  if (command.kind === 'hold') {
    invariant(
      Number.isSafeInteger(command.amount) && command.amount > 0,
      'a hold is of a whole number above 0',
    );
    invariant(command.ttlMs === null || command.ttlMs > 0, 'a hold lasts for some time');
  }
  if (command.kind === 'transfer') {
    const { amount } = command;
    invariant(
      amount === undefined || (Number.isSafeInteger(amount) && amount >= 0),
      'a transfer is of a whole number',
    );
  }
  if (command.kind === 'settle') {
    const amount = command.amount ?? 0;
    invariant(Number.isSafeInteger(amount) && amount >= 0, 'what is posted is a whole number');
    invariant(command.outcome === 'post' || amount === 0, 'only a post has an amount');
  }
}

function auditOf(command: LedgerCommand, answer: LedgerAnswer) {
  const { kind, id, unit, account, debit, credit, amount, reference } = answer;
  const limits =
    command.kind === 'open' || command.kind === 'adjust'
      ? { limit: command.limit, opensAt: command.opensAt, closesAt: command.closesAt }
      : {};
  return {
    actor: command.actor,
    action: `ledger.${kind}`,
    subject: id ?? account,
    details: { unit, account, debit, credit, amount, reference, ...limits },
  };
}
