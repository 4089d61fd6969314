import { type PolicyModel, policyRuleSchema } from '@beamtime/contracts';
import { newId } from '@beamtime/platform';
import { platformForTest, type TestPlatform } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fundAllocation } from '../allocations/fund-allocation.js';
import { ReadAllocations } from '../allocations/read-allocations.js';
import { personAccount } from '../domain/ledger/account-owner.js';
import { checkBooks } from '../ledger/check-books.js';
import { Ledger } from '../ledger/ledger.js';
import { reconcileHolds } from '../ledger/reconcile-holds.js';
import { accessSchema } from '../postgres/access-schema.js';
import { Metering, type UseRequest } from './metering.js';
import { Policies } from './policies.js';

let platform: TestPlatform;
let ledger: Ledger;
let metering: Metering;
let policies: Policies;
beforeAll(async () => {
  platform = await platformForTest([accessSchema]);
  ledger = new Ledger(platform.transactor);
  metering = new Metering(ledger, platform.transactor);
  policies = new Policies(platform.transactor);
});
afterAll(() => platform.close());

const labId = newId('Lab');
const suiteId = newId('Suite');
const personId = newId('Person');
const model: PolicyModel = {
  modelId: newId('Model'),
  suiteId,
  language: 'zul',
  family: 'gpt-neox',
  parameters: 1_000_000,
  weights: 'open',
  trainedAt: new Date('2026-01-01'),
};

/** An allocation as accepting an award makes it. */
async function allocation(
  options: { tokens?: number; endsAt?: Date; models?: string[] } = {},
): Promise<string> {
  const allocationId = newId('Allocation');
  const applicationId = newId('Application');
  const startsAt = new Date(Date.now() - 1_000);
  const endsAt = options.endsAt ?? new Date(Date.now() + 3_600_000);
  const { tokens = 100, models = [suiteId] } = options;
  await platform.transactor.do(async (tx) => {
    await tx.rows(
      `INSERT INTO access.application (id, lab_id, applicant_id, title, purpose, models, scopes, requested, starts_at, ends_at, tier)
       VALUES ($1, $2, $3, 't', 'p', '{*}', '{outputs}', '[]', now(), now() + interval '1 day', 'small')`,
      [applicationId, labId, personId],
    );
    await tx.rows(
      `INSERT INTO access.allocation (id, application_id, lab_id, owner_id, member_ids, title, models, scopes, starts_at, ends_at)
       VALUES ($1, $2, $3, $4, '{}', 't', $5, '{outputs,internals:read}', $6, $7)`,
      [allocationId, applicationId, labId, personId, models, startsAt, endsAt],
    );
    const granted = [{ unit: 'output_tokens' as const, amount: tokens }];
    const grants = fundAllocation({
      allocationId,
      labId,
      granted,
      startsAt,
      endsAt,
      grant: 'first',
      actor: personId,
    });
    for (const outcome of await ledger.apply(grants, tx)) expect(outcome.ok).toBe(true);
  });
  return allocationId;
}

const ask = (allocationId: string, changes: Partial<UseRequest> = {}): UseRequest => ({
  allocationId,
  personId,
  scopes: ['outputs', 'internals:read', 'gradients'],
  requestId: 'req-1',
  model,
  scope: 'outputs',
  unit: 'output_tokens',
  amount: 20,
  ...changes,
});
const balance = async (allocationId: string) => ledger.balance('output_tokens', `allocation:${allocationId}`);

describe('a request', () => {
  it('holds before it runs, pays what it used, and stands in the usage with its receipt', async () => {
    const allocationId = await allocation();
    const held = await metering.authorise(ask(allocationId, { keyId: newId('ApiKey'), requestId: 'abc' }));
    if (!held.ok) throw new Error(held.error.detail);
    expect(await balance(allocationId)).toMatchObject({ held: 20, available: 80 });
    const facts = { revision: 'step8', receipt: { weightsSha256: 'f00' } };
    expect(await metering.settle(held.value.holdId, 7, facts)).toEqual({ ok: true, value: { used: 7 } });
    expect(await metering.settle(held.value.holdId, 7, facts)).toEqual({ ok: true, value: { used: 7 } });
    expect(await balance(allocationId)).toMatchObject({ held: 0, used: 7, available: 93 });
    const usage = await new ReadAllocations(platform.transactor).usage({ allocationId }, allocationId, {
      limit: 10,
    });
    expect(usage).toMatchObject({
      value: {
        items: [
          {
            requestId: 'abc',
            personId,
            modelId: model.modelId,
            revision: 'step8',
            scope: 'outputs',
            held: 20,
            used: 7,
            state: 'posted',
            receipt: facts.receipt,
          },
        ],
        totals: [{ unit: 'output_tokens', requests: 1, held: 20, used: 7, returned: 13 }],
      },
    });
  });

  it('never overspends: of 20 in parallel on an allocation that covers 5, 5 run', async () => {
    const allocationId = await allocation();
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) => metering.authorise(ask(allocationId, { requestId: `p${i}` }))),
    );
    expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(5);
    for (const outcome of outcomes) {
      if (!outcome.ok) {
        expect(outcome.error).toMatchObject({
          code: 'access.insufficient-units',
          facts: { unit: 'output_tokens', available: 0, requested: 20 },
        });
      }
    }
    expect(await balance(allocationId)).toMatchObject({ held: 100, used: 0, available: 0 });
  });

  it('that is too large costs nothing and says what is left', async () => {
    const allocationId = await allocation();
    expect(await metering.authorise(ask(allocationId, { amount: 101 }))).toMatchObject({
      error: { code: 'access.insufficient-units', facts: { available: 100, requested: 101 } },
    });
    expect(
      await metering.authorise(ask(allocationId, { unit: 'activation_bytes', scope: 'internals:read' })),
    ).toMatchObject({
      error: { code: 'access.insufficient-units', facts: { available: 0 } },
    });
    expect(await balance(allocationId)).toMatchObject({ held: 0, used: 0, available: 100 });
  });

  it('whose gateway crashed gets everything back when its hold runs out', async () => {
    const allocationId = await allocation();
    const held = await metering.authorise(ask(allocationId, { ttlMs: 40 }));
    await new Promise((resolve) => setTimeout(resolve, 60));
    await reconcileHolds(platform.transactor);
    expect(await balance(allocationId)).toMatchObject({ held: 0, used: 0, available: 100 });
    const holdId = held.ok ? held.value.holdId : '';
    expect(await metering.settle(holdId, 5)).toMatchObject({ error: { code: 'access.hold-settled' } });
  });

  it('that did not run gives all of it back', async () => {
    const allocationId = await allocation();
    const held = await metering.authorise(ask(allocationId));
    expect((await metering.release(held.ok ? held.value.holdId : '')).ok).toBe(true);
    expect(await balance(allocationId)).toMatchObject({ held: 0, available: 100 });
  });

  it('that used more than it held is charged what it held, once', async () => {
    const allocationId = await allocation();
    const holdId = newId('Hold');
    await metering.authorise(ask(allocationId, { holdId }));
    expect(await metering.settle(holdId, 25)).toEqual({ ok: true, value: { used: 20 } });
    expect(await balance(allocationId)).toMatchObject({ held: 0, used: 20, available: 80 });
  });

  it('cannot run twice on one hold', async () => {
    const allocationId = await allocation();
    const holdId = newId('Hold');
    await metering.authorise(ask(allocationId, { holdId }));
    await metering.settle(holdId, 20);
    expect(await metering.authorise(ask(allocationId, { holdId }))).toMatchObject({
      error: { code: 'access.hold-settled' },
    });
  });

  it.each([
    ['the key lacks the scope', { scopes: ['gradients'] }, 'auth.scope-missing'],
    ['the allocation lacks the scope', { scope: 'gradients' }, 'auth.scope-missing'],
    ['the model is not covered', { model: { ...model, suiteId: null } }, 'access.model-not-granted'],
    ['there is no such allocation', { allocationId: newId('Allocation') }, 'access.allocation-inactive'],
  ] as const)('is refused when %s', async (_, changes, code) => {
    const request = ask(await allocation(), changes as Partial<UseRequest>);
    expect(await metering.authorise(request)).toMatchObject({ ok: false, error: { code } });
  });

  it('is refused when the allocation is over, and when it is not active', async () => {
    const over = await allocation({ endsAt: new Date(Date.now() + 30) });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const suspended = await allocation();
    await platform.transactor.read.rows(`UPDATE access.allocation SET state = 'suspended' WHERE id = $1`, [
      suspended,
    ]);
    for (const allocationId of [over, suspended]) {
      expect(await metering.authorise(ask(allocationId))).toMatchObject({
        error: { code: 'access.allocation-inactive' },
      });
      expect(await metering.grantedModels(allocationId)).toEqual([]);
    }
  });

  it('stays within the share of its person, and that within the allocation', async () => {
    const allocationId = await allocation();
    const owner = personAccount(allocationId, personId);
    await ledger.open({
      unit: 'output_tokens',
      owner,
      accountKind: 'share',
      parent: `allocation:${allocationId}`,
      limit: 30,
      actor: personId,
    });
    expect((await metering.authorise(ask(allocationId))).ok).toBe(true);
    expect(await metering.authorise(ask(allocationId))).toMatchObject({
      error: { facts: { available: 10 } },
    });
    expect((await metering.authorise(ask(allocationId, { personId: newId('Person') }))).ok).toBe(true);
  });
});

describe('a policy', () => {
  async function under<T>(written: unknown, work: () => Promise<T>): Promise<T> {
    const rule = policyRuleSchema.parse(written);
    const fact = { policyId: newId('Policy'), roundId: newId('Round'), proposalId: newId('Proposal'), rule };
    await platform.transactor.do((tx) => policies.adopt(tx, fact, new Date()));
    try {
      return await work();
    } finally {
      await platform.transactor.do((tx) => policies.end(tx, fact, new Date()));
    }
  }

  it('that denies a scope, or keeps a model under embargo, binds at once and until it ends', async () => {
    const allocationId = await allocation();
    const refused = { error: { code: 'access.policy-denied' } };
    await under({ kind: 'deny-scope', scope: 'outputs' }, async () => {
      expect(await metering.authorise(ask(allocationId))).toMatchObject(refused);
    });
    await under({ kind: 'embargo', days: 3_650 }, async () => {
      expect(await metering.authorise(ask(allocationId))).toMatchObject(refused);
    });
    expect((await metering.authorise(ask(allocationId))).ok).toBe(true);
  });

  it('that caps units holds for a whole lab, in parallel, over all its allocations', async () => {
    const both = [await allocation(), await allocation()];
    const rule = { kind: 'cap-units', unit: 'output_tokens', amount: 70, windowHours: 1, per: 'lab' };
    await under(rule, async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) => metering.authorise(ask(both[i % 2] ?? ''))),
      );
      expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(3);
      expect(outcomes.find((outcome) => !outcome.ok)).toMatchObject({
        error: { code: 'access.policy-denied', facts: { available: 10, requested: 20 } },
      });
      expect((await metering.authorise(ask(both[0] ?? '', { amount: 10 }))).ok).toBe(true);
    });
  });
});

it('leaves the books in order', async () => {
  expect((await checkBooks(platform.transactor.read)).ok).toBe(true);
});
