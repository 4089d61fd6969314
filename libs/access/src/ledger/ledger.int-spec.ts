import { present } from '@beamtime/kernel';
import { Tx } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccountOwner } from '../domain/ledger/account-owner.js';
import { accessSchema } from '../postgres/access-schema.js';
import { checkBooks } from './check-books.js';
import { Ledger } from './ledger.js';
import { reconcileHolds } from './reconcile-holds.js';

const unit = 'output_tokens';
const actor = 'test';
let platform: TestPlatform;
let ledger: Ledger;
let sequence = 0;
beforeAll(async () => {
  platform = await platformForTest([accessSchema]);
  ledger = new Ledger(platform.transactor);
});
afterAll(() => platform.close());

const fresh = (what: string) => `${what}-${sequence++}`;

/** A funded account below the consortium. */
async function fund(amount: number, parent: AccountOwner = 'consortium'): Promise<AccountOwner> {
  const owner: AccountOwner = `allocation:${fresh('a')}`;
  await ledger.open({ unit, owner, accountKind: 'fund', parent, actor });
  if (amount > 0)
    await ledger.credit({ id: fresh('credit'), unit, to: owner, amount, reference: 'r', actor });
  return owner;
}

async function share(parent: AccountOwner, limit: number): Promise<AccountOwner> {
  const owner: AccountOwner = `person:${fresh('p')}`;
  await ledger.open({ unit, owner, accountKind: 'share', parent, limit, actor });
  return owner;
}

const hold = (account: AccountOwner, amount: number, id = fresh('hold'), ttlMs: number | null = 60_000) =>
  ledger.hold({ id, unit, account, amount, ttlMs, reference: 'req', actor });

async function expectBooksInOrder() {
  const books = await checkBooks(platform.transactor.read);
  expect(books.checks.filter((check) => check.violations > 0)).toEqual([]);
  for (const { issued, available, held, used } of books.totals) expect(issued).toBe(available + held + used);
}

describe('the schema', () => {
  it('is what the rows declare', async () => {
    const diff = await platform.dataSource.driver.createSchemaBuilder().log();
    expect(diff.upQueries.map((query) => query.query).filter((query) => query.includes('access'))).toEqual(
      [],
    );
  });
});

describe('a hold', () => {
  it('counts at once, is posted in part, and gives the rest back', async () => {
    const account = await fund(100);
    expect(await hold(account, 60, 'part')).toMatchObject({
      ok: true,
      value: { amount: 60, replayed: false },
    });
    expect(await ledger.balance(unit, account)).toMatchObject({
      balance: 100,
      held: 60,
      available: 40,
      used: 0,
    });
    expect(await hold(account, 41)).toMatchObject({
      ok: false,
      error: { code: 'access.insufficient-units', facts: { available: 40, requested: 41 } },
    });
    expect(await ledger.post({ hold: 'part', amount: 25, actor })).toMatchObject({ ok: true });
    expect(await ledger.balance(unit, account)).toMatchObject({
      balance: 75,
      held: 0,
      available: 75,
      used: 25,
    });
    await expectBooksInOrder();
  });

  it('is settled once: the same again is a replay, anything else is refused', async () => {
    const account = await fund(100);
    await hold(account, 10, 'once');
    await ledger.post({ hold: 'once', amount: 5, actor });
    expect(await ledger.post({ hold: 'once', amount: 5, actor })).toMatchObject({
      value: { replayed: true },
    });
    for (const again of [
      await ledger.post({ hold: 'once', amount: 6, actor }),
      await ledger.void({ hold: 'once', actor }),
    ]) {
      expect(again).toMatchObject({
        error: { code: 'access.hold-settled', facts: { state: 'posted', posted: 5 } },
      });
    }
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 95, held: 0 });
  });

  it('never posts more than it holds', async () => {
    const account = await fund(100);
    await hold(account, 10, 'over');
    expect(await ledger.post({ hold: 'over', amount: 11, actor })).toMatchObject({
      error: { code: 'limit.exceeded' },
    });
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 100, held: 10 });
  });

  it('sent again is a replay, and the same id for something else a conflict', async () => {
    const account = await fund(100);
    const first = await hold(account, 10, 'twice');
    expect(await hold(account, 10, 'twice')).toEqual({
      ok: true,
      value: { ...present(first.ok ? first.value : null, 'first'), replayed: true },
    });
    expect(await hold(account, 11, 'twice')).toMatchObject({ error: { code: 'access.id-reused' } });
    expect(await ledger.balance(unit, account)).toMatchObject({ held: 10 });
  });

  it('expires and gives everything back, also when nobody settles it', async () => {
    const account = await fund(100);
    await hold(account, 70, 'crashed', 30);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await ledger.post({ hold: 'crashed', amount: 5, actor })).toMatchObject({
      error: { code: 'access.hold-settled' },
    });
    expect((await reconcileHolds(platform.transactor)).expired).toBe(1);
    expect((await reconcileHolds(platform.transactor)).expired).toBe(0);
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 100, held: 0, available: 100 });
    await expectBooksInOrder();
  });

  it('is refused at an account that nobody opened, and at a closed one', async () => {
    expect(await hold('allocation:nowhere', 1)).toMatchObject({ error: { code: 'resource.not-found' } });
    const account = await fund(10);
    await ledger.adjust({ unit, owner: account, closesAt: new Date(Date.now() - 1), actor });
    expect(await hold(account, 1)).toMatchObject({ error: { code: 'access.allocation-inactive' } });
    await ledger.adjust({ unit, owner: account, closesAt: null, actor });
    expect(await hold(account, 1)).toMatchObject({ ok: true });
  });
});

describe('the tree of accounts', () => {
  it('keeps what a child draws within every account above it', async () => {
    const account = await fund(100);
    const group = await share(account, 50);
    const person = await share(group, 40);
    const other = await share(group, 40);
    expect(await hold(person, 41)).toMatchObject({ error: { facts: { available: 40 } } });
    expect(await hold(person, 40, 'p1')).toMatchObject({ ok: true });
    expect(await hold(other, 11)).toMatchObject({ error: { facts: { available: 10 } } });
    expect(await hold(other, 10)).toMatchObject({ ok: true });
    await hold(account, 45);
    await ledger.post({ hold: 'p1', amount: 1, actor });
    // 39 are free again below the group, but the fund has only 44.
    expect(await ledger.balance(unit, account)).toMatchObject({ available: 44, held: 55, used: 1 });
    expect(await ledger.balance(unit, group)).toMatchObject({ available: 39, held: 10, used: 1 });
    await expectBooksInOrder();
  });

  it('does not let a limit fall below what is drawn', async () => {
    const person = await share(await fund(100), 40);
    await hold(person, 30);
    expect(await ledger.adjust({ unit, owner: person, limit: 29, actor })).toMatchObject({
      error: { code: 'limit.exceeded' },
    });
    expect(await ledger.adjust({ unit, owner: person, limit: 30, actor })).toMatchObject({ ok: true });
  });
});

describe('grants', () => {
  const inMs = (ms: number) => new Date(Date.now() + ms);

  it('burn the earliest expiry first, and lapse when their time has come', async () => {
    const account = await fund(0);
    const grant = (amount: number, expiresAt: Date | null) =>
      ledger.credit({ id: fresh('grant'), unit, to: account, amount, expiresAt, reference: 'g', actor });
    await grant(10, null);
    await grant(10, inMs(60_000));
    await grant(10, inMs(400));
    await hold(account, 15, 'burn');
    expect((await ledger.balance(unit, account))?.grants.map(({ held }) => held)).toEqual([10, 5, 0]);
    await ledger.post({ hold: 'burn', amount: 4, actor });
    expect((await ledger.balance(unit, account))?.grants.map(({ balance }) => balance)).toEqual([6, 10, 10]);
    await expect.poll(async () => (await ledger.balance(unit, account))?.available).toBe(20);
    expect((await reconcileHolds(platform.transactor)).lapsed).toBe(1);
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 20, available: 20 });
    await expectBooksInOrder();
  });

  it('are not lapsed under a hold: what it gives back lapses afterwards', async () => {
    const account = await fund(0);
    await ledger.credit({
      id: fresh('g'),
      unit,
      to: account,
      amount: 10,
      expiresAt: inMs(100),
      reference: 'g',
      actor,
    });
    await hold(account, 8, 'keeps');
    await expect.poll(async () => (await ledger.balance(unit, account))?.available).toBe(0);
    await reconcileHolds(platform.transactor);
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 8, held: 8 });
    await ledger.post({ hold: 'keeps', amount: 3, actor });
    await reconcileHolds(platform.transactor);
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 0, held: 0, used: 3 });
    await expectBooksInOrder();
  });
});

describe('under load', () => {
  it('never spends more than there is, in 500 parallel requests, half of them sent twice', async () => {
    const account = await fund(100);
    const person = await share(account, 60);
    const sent = Array.from({ length: 250 }, (_, i) => ({
      id: fresh('load'),
      account: i % 2 === 0 ? account : person,
    }));
    const outcomes = await Promise.all(
      [...sent, ...sent].map(({ id, account: at }, i) =>
        i % 3 === 0
          ? platform.transactor.run((tx) =>
              ledger.hold({ id, unit, account: at, amount: 1, ttlMs: 60_000, reference: 'r', actor }, tx),
            )
          : hold(at, 1, id),
      ),
    );
    const done = outcomes.flatMap((outcome) =>
      outcome.ok && !outcome.value.replayed ? [outcome.value] : [],
    );
    expect(done).toHaveLength(100);
    expect(await ledger.balance(unit, account)).toMatchObject({ available: 0, held: 100 });
    const settled = await Promise.all(
      done.flatMap(({ id }, i) =>
        [0, 1, 2].map((n) =>
          n === i % 3
            ? ledger.post({ hold: id ?? '', amount: 1, actor })
            : ledger.void({ hold: id ?? '', actor }),
        ),
      ),
    );
    expect(settled.filter((outcome) => outcome.ok && !outcome.value.replayed)).toHaveLength(100);
    await expectBooksInOrder();
  });

  it('loses nothing and doubles nothing when connections die in mid-flight', async () => {
    const account = await fund(1_000);
    const ids = Array.from({ length: 60 }, () => fresh('killed'));
    let killing = true;
    const killer = (async () => {
      const until = Date.now() + 1_000;
      while (killing && Date.now() < until) {
        await platform.dataSource
          .query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5`,
          )
          .catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 8));
      }
    })();
    const untilAnswered = async (id: string): Promise<void> => {
      for (;;) {
        try {
          const held = await hold(account, 3, id);
          if (!held.ok) throw new Error(held.error.code);
          const posted = await ledger.post({ hold: id, amount: 2, actor });
          if (!posted.ok) throw new Error(posted.error.code);
          return;
        } catch (error) {
          if (String(error).includes('access.')) throw error;
        }
      }
    };
    await Promise.all(ids.map(untilAnswered));
    killing = false;
    await killer;
    await expect.poll(() => platform.dataSource.query('SELECT 1').catch(() => null)).not.toBeNull();
    expect(await ledger.balance(unit, account)).toMatchObject({ balance: 880, held: 0, used: 120 });
    await expectBooksInOrder();
  });
});

describe('a crash at any step', () => {
  /** A transaction that breaks before its nth statement, or after the last one. */
  class BreakingTx extends Tx {
    private statements = 0;
    constructor(tx: Tx, breakAt: number) {
      super(
        new Proxy(tx.manager, {
          get: (target, name) =>
            name === 'query'
              ? (sql: string, parameters: unknown[]) => {
                  if (this.statements++ === breakAt) return Promise.reject(new Error('crash'));
                  return target.query(sql, parameters);
                }
              : Reflect.get(target, name),
        }),
      );
    }
  }

  it.each([0, 1, 2, 3, 4, 5])('leaves all or nothing (before statement %i)', async (breakAt) => {
    const from = await fund(50);
    const to = await fund(0);
    const transferId = fresh('crash');
    const holdId = fresh('crash');
    const work = (tx: Tx) => async () => {
      await ledger.transfer({ id: transferId, unit, from, to, amount: 20, reference: 'x', actor }, tx);
      await ledger.hold(
        { id: holdId, unit, account: to, amount: 15, ttlMs: null, reference: 'x', actor },
        tx,
      );
      await ledger.post({ hold: holdId, amount: 5, actor }, tx);
    };
    await expect(
      platform.transactor.do(async (tx) => {
        await work(new BreakingTx(tx, breakAt))();
        throw new Error('crash');
      }),
    ).rejects.toThrow('crash');
    expect(await ledger.balance(unit, to)).toMatchObject({ balance: 0, held: 0 });
    await platform.transactor.do((tx) => work(tx)());
    await platform.transactor.do((tx) => work(tx)());
    expect(await ledger.balance(unit, from)).toMatchObject({ balance: 30 });
    expect(await ledger.balance(unit, to)).toMatchObject({ balance: 15, held: 0, used: 5 });
    await expectBooksInOrder();
  });
});

describe('the journal', () => {
  it.each(['journal', 'journal_entry'])('refuses any change of %s', async (table) => {
    const { read } = platform.transactor;
    await expect(read.rows(`UPDATE access.${table} SET amount = amount + 1`)).rejects.toThrow('append-only');
    await expect(read.rows(`DELETE FROM access.${table}`)).rejects.toThrow('append-only');
    await expect(read.rows(`TRUNCATE access.${table}`)).rejects.toThrow('append-only');
  });

  it('is checked: a forged balance is found', async () => {
    const account = await fund(5);
    const { read } = platform.transactor;
    await read.rows(`UPDATE access.account SET posted = posted + 1 WHERE owner = $1`, [account]);
    const books = await checkBooks(read);
    expect(books.ok).toBe(false);
    expect(books.checks.filter((check) => check.violations > 0).map((check) => check.name)).toEqual([
      'sum-zero',
      'accounts-project-journal',
      'grants-project-journal',
    ]);
    await read.rows(`UPDATE access.account SET posted = posted - 1 WHERE owner = $1`, [account]);
    await expectBooksInOrder();
  });

  it('stands in the audit log too, entry by entry', async () => {
    const account = await fund(5);
    await hold(account, 2, 'audited');
    await ledger.void({ hold: 'audited', actor });
    const entries = await platform.transactor.read.rows<{ action: string }>(
      `SELECT action FROM platform.audit_entry WHERE subject LIKE 'audited%' ORDER BY id`,
    );
    expect(entries.map((entry) => entry.action)).toEqual(['ledger.hold', 'ledger.void']);
  });
});
