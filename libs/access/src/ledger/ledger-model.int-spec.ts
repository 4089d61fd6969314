import { Tx } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccountOwner } from '../domain/ledger/account-owner.js';
import type { LedgerCommand } from '../domain/ledger/ledger-command.js';
import { LedgerModel } from '../domain/ledger/ledger-model.js';
import { accessSchema } from '../postgres/access-schema.js';
import { applyCommands } from './apply-commands.js';
import { checkBooks } from './check-books.js';

const unit = 'output_tokens';
const actor = 'test';
const startMs = Date.UTC(2030, 0, 1);

let platform: TestPlatform;
beforeAll(async () => {
  platform = await platformForTest([accessSchema]);
});
afterAll(() => platform.close());

const owners = ['consortium', 'lab:a', 'allocation:a', 'allocation:b', 'person:p', 'person:q'] as const;
const owner = fc.constantFrom<AccountOwner>(...owners);
/** Few ids, so that replays and reuse happen all the time. */
const id = fc.integer({ min: 0, max: 15 }).map((n) => `id${n}`);
const amount = fc.integer({ min: 1, max: 30 });
const expiry = fc.option(fc.integer({ min: 1, max: 60 }).map((s) => new Date(startMs + s * 1_000)));

const opening = fc.record({
  kind: fc.constant('open' as const),
  unit: fc.constant(unit),
  owner,
  accountKind: fc.constantFrom('fund' as const, 'share' as const),
  parent: owner,
  limit: fc.option(fc.integer({ min: 0, max: 60 })),
  closesAt: expiry,
  actor: fc.constant(actor),
});
const transferring = fc.record({
  kind: fc.constant('transfer' as const),
  id,
  unit: fc.constant(unit),
  from: fc.constantFrom<AccountOwner>(
    'issuer',
    'issuer',
    'consortium',
    'lab:a',
    'allocation:a',
    'allocation:b',
  ),
  to: fc.constantFrom<AccountOwner>(
    'issuer',
    'consortium',
    'lab:a',
    'allocation:a',
    'allocation:b',
    'person:p',
  ),
  amount,
  expiresAt: expiry,
  reference: fc.constant('r'),
  actor: fc.constant(actor),
});
const sweeping = transferring.map(({ amount: _, ...rest }) => rest);
const holding = fc.record({
  kind: fc.constant('hold' as const),
  id,
  unit: fc.constant(unit),
  account: owner,
  amount,
  ttlMs: fc.option(fc.integer({ min: 1, max: 15_000 })),
  reference: fc.constantFrom('r', 'r', 'r', 's'),
  actor: fc.constant(actor),
});
const posting = fc.record({
  kind: fc.constant('settle' as const),
  hold: id,
  outcome: fc.constant('post' as const),
  amount,
  actor: fc.constant(actor),
});
const releasing = fc.record({
  kind: fc.constant('settle' as const),
  hold: id,
  outcome: fc.constantFrom('void' as const, 'expire' as const),
  actor: fc.constant(actor),
});
const command: fc.Arbitrary<LedgerCommand> = fc.oneof(
  { weight: 2, arbitrary: opening },
  { weight: 5, arbitrary: transferring },
  { weight: 1, arbitrary: sweeping },
  { weight: 7, arbitrary: holding },
  { weight: 5, arbitrary: posting },
  { weight: 3, arbitrary: releasing },
);
/** A command, or one of those before it sent again; and the time that passes first. */
interface Step {
  readonly command: LedgerCommand;
  readonly again: number | null;
  readonly waitMs: number;
}
const again = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(100) });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ command, again, waitMs: fc.integer({ min: 0, max: 2_000 }) }),
  { minLength: 20, maxLength: 80 },
);

/** Holds that end in one batch; one named twice among them needs the order of its commands. */
const endings: fc.Arbitrary<LedgerCommand[]> = fc
  .array(fc.oneof(posting, releasing), { minLength: 2, maxLength: 16 })
  .chain((all) => fc.boolean().map((twice) => (twice ? all : firstOfEachHold(all))));
function firstOfEachHold<T extends { readonly hold: string }>(all: readonly T[]): T[] {
  return [...new Map([...all].reverse().map((one) => [one.hold, one])).values()];
}

/** A tree to start from: two funds, a share within a share. */
const opened: LedgerCommand[] = (
  [
    ['lab:a', 'fund', 'consortium', null],
    ['allocation:a', 'fund', 'lab:a', 80],
    ['allocation:b', 'fund', 'lab:a', null],
    ['person:p', 'share', 'allocation:a', 40],
  ] as const
).map(([name, accountKind, parent, limit]) => ({
  kind: 'open',
  unit,
  owner: name,
  accountKind,
  parent,
  limit,
  actor,
}));
const funded: LedgerCommand[] = (['consortium', 'allocation:a', 'allocation:b'] as const).map((to) => ({
  kind: 'transfer',
  id: `fund-${to}`,
  unit,
  from: 'issuer',
  to,
  amount: 100,
  reference: 'r',
  actor,
}));

/** One sequence that gets every answer there is, so that no run leaves one out. */
const everyAnswer: Step[] = (() => {
  const share = {
    kind: 'open',
    unit,
    owner: 'person:p',
    accountKind: 'share',
    parent: 'allocation:a',
    actor,
  } as const;
  const credit = {
    kind: 'transfer',
    id: 't',
    unit,
    from: 'issuer',
    to: 'consortium',
    amount: 10,
    reference: 'r',
    actor,
  } as const;
  const held = {
    kind: 'hold',
    id: 'h',
    unit,
    account: 'person:p',
    amount: 10,
    ttlMs: 5_000,
    reference: 'r',
    actor,
  } as const;
  const used = { kind: 'settle', hold: 'h', outcome: 'post', amount: 5, actor } as const;
  const commands: LedgerCommand[] = [
    ...[share, { ...share, accountKind: 'fund' as const }, { ...share, owner: 'person:q' as const }],
    ...[credit, credit, { ...credit, amount: 11 }, { ...credit, id: 't2', to: 'person:p' as const }],
    { ...credit, id: 't3', from: 'lab:a', amount: 5 },
    ...[held, held, { ...held, amount: 11 }, { ...held, id: 'h2', amount: 31 }],
    { ...used, outcome: 'expire', amount: 0 },
    ...[{ ...used, amount: 11 }, used, used, { ...used, hold: 'h3' }],
    { ...used, outcome: 'void', amount: 0 },
  ];
  return commands.map((one) => ({ command: one, again: null, waitMs: 1 }));
})();

async function compare(
  tx: Tx,
  sequence: readonly Step[],
  together: readonly LedgerCommand[],
  answers: Set<string>,
) {
  const model = new LedgerModel();
  let nowMs = startMs;
  const sent: LedgerCommand[] = [];
  const start = [...opened, ...funded].map((one) => ({ command: one, again: null, waitMs: 0 }));
  for (const { command: given, again: index, waitMs } of [...start, ...sequence]) {
    nowMs += waitMs;
    const step = (index === null ? undefined : sent[index % sent.length]) ?? given;
    sent.push(step);
    const expected = model.apply(step, new Date(nowMs));
    const [actual] = await applyCommands(tx, [step], new Date(nowMs));
    if (expected.ok) expect(actual).toMatchObject({ ok: true, value: expected.value });
    else expect(actual).toMatchObject({ ok: false, error: { code: expected.error.code } });
    answers.add(
      `${step.kind}: ${expected.ok ? (expected.value.replayed ? 'replayed' : 'done') : expected.error.code}`,
    );
  }
  const expectedTogether = together.map((one) => model.apply(one, new Date(nowMs)));
  for (const [i, actual] of (await applyCommands(tx, together, new Date(nowMs))).entries()) {
    const expected = expectedTogether[i];
    if (expected?.ok) expect(actual).toMatchObject({ ok: true, value: expected.value });
    else expect(actual).toMatchObject({ ok: false, error: { code: expected?.error.code } });
    if (expected?.ok && !expected.value.replayed) answers.add('together: done');
  }
  for (const name of owners) {
    const row = await tx.row<{ free: string | null; held: string; used: string }>(
      `SELECT access.ledger_free(unit, owner, $2::timestamptz) AS free, drawn_held AS held, drawn_posted AS used
       FROM access.account WHERE unit = $3 AND owner = $1`,
      [name, new Date(nowMs), unit],
    );
    if (row === undefined) {
      expect(model.accounts.has(name)).toBe(false);
      continue;
    }
    expect(Number(row.free)).toBe(model.available(name, nowMs));
    expect({ held: Number(row.held), used: Number(row.used) }).toEqual(model.drawn(name));
  }
  const books = await checkBooks(tx);
  expect(books.checks.filter((check) => check.violations > 0)).toEqual([]);
}

describe('the ledger against its model', () => {
  it('answers every sequence of commands as the model does, and keeps the books in order', async () => {
    const answers = new Set<string>();
    await fc.assert(
      fc.asyncProperty(steps, endings, async (sequence, together) => {
        const done = new Error('done: roll back');
        const run = platform.transactor.do(async (tx) => {
          await compare(tx, sequence, together, answers);
          throw done;
        });
        await expect(run).rejects.toBe(done);
      }),
      { numRuns: 60, examples: [[everyAnswer, []]] },
    );
    // The sequences reach every answer there is, or the comparison says little.
    for (const answer of [
      'open: done',
      'open: replayed',
      'open: access.id-reused',
      'transfer: done',
      'transfer: replayed',
      'transfer: access.id-reused',
      'transfer: access.insufficient-units',
      'transfer: resource.not-found',
      'hold: done',
      'hold: replayed',
      'hold: access.id-reused',
      'hold: access.insufficient-units',
      'settle: done',
      'together: done',
      'settle: replayed',
      'settle: access.hold-settled',
      'settle: limit.exceeded',
      'settle: resource.not-found',
      'settle: state.illegal-transition',
    ]) {
      expect([...answers]).toContain(answer);
    }
  }, 120_000);
});
