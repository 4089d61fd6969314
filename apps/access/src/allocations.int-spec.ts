import {
  type ApiClient,
  amendAllocation,
  checkBooks,
  closeAllocation,
  createAllocationKey,
  createApiClient,
  decideApplication,
  gpuSecondsReport,
  lendToOperations,
  limitPerson,
  listAllocations,
  listApplications,
  listJournal,
  listPoliciesInForce,
  listUsage,
  recommendApplication,
  resumeAllocation,
  showAllocation,
  suspendAllocation,
  takeReview,
} from '@beamtime/contracts';
import { seedPerson } from '@beamtime/identity/testing';
import { newId } from '@beamtime/platform';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AccessForTest, accessForTest, inDays, problemOf, refusal, type Who } from './testing.js';

let world: AccessForTest;
beforeAll(async () => {
  world = await accessForTest();
});
afterAll(() => world.service.close());
const as = (who: Who) => world.as(who);
const allocate = (changes?: object) => world.allocate(changes);
const apply = (changes?: object) => world.apply(changes);

describe('an allocation', () => {
  it('gives keys to its people, within its scopes, that work as credentials', async () => {
    const allocationId = await allocate();
    const params = { allocationId };
    const wide = as('applicant').call(createAllocationKey, {
      params,
      body: { label: 'x', scopes: ['gradients'] },
    });
    expect(await refusal(wide)).toBe('auth.scope-missing');
    expect(await refusal(as('otherLab').call(createAllocationKey, { params, body: { label: 'x' } }))).toBe(
      'auth.forbidden',
    );
    const key = await as('applicant').call(createAllocationKey, {
      params,
      body: { label: 'laptop', scopes: ['outputs'] },
    });
    const byKey = createApiClient(world.service.url, key.token);
    expect((await byKey.call(showAllocation, { params })).allocationId).toBe(allocationId);
    const other = { params: { allocationId: await allocate() } };
    expect(await refusal(byKey.call(showAllocation, other))).toBe('auth.forbidden');
    expect(await refusal(byKey.call(listApplications, {}))).toBe('auth.forbidden');
  });

  it('is seen by its owner, its lab’s delegates and the offices, and by nobody else', async () => {
    const allocationId = await allocate();
    const delegate = await world.transactor.do((tx) =>
      seedPerson(tx, `del${allocationId}@north.org`, [{ labId: world.labs.north, role: 'delegate' }]),
    );
    for (const client of [
      as('applicant'),
      as('secretary'),
      as('auditor'),
      createApiClient(world.service.url, delegate.token),
    ]) {
      const { items } = await client.call(listAllocations, { query: { limit: 500 } });
      expect(items.map((one) => one.allocationId)).toContain(allocationId);
      await client.call(listUsage, { params: { allocationId } });
    }
    expect((await as('otherLab').call(listAllocations, {})).items).toEqual([]);
    expect(await refusal(as('sameLab').call(listUsage, { params: { allocationId } }))).toBe('auth.forbidden');
  });

  it('is supplemented and extended once per amendment, suspended, resumed and closed', async () => {
    const params = { allocationId: await allocate() };
    const body = {
      amendmentId: 'more-2026',
      supplement: [{ unit: 'output_tokens' as const, amount: 500 }],
      endsAt: inDays(120),
      reason: 'a second study',
    };
    expect(await refusal(as('applicant').call(amendAllocation, { params, body }))).toBe('auth.forbidden');
    await as('secretary').call(amendAllocation, { params, body });
    const amended = await as('secretary').call(amendAllocation, { params, body });
    expect(amended).toMatchObject({ endsAt: body.endsAt, balances: [{ granted: 1_500, available: 1_500 }] });
    const reason = { reason: 'an incident' };
    expect(await refusal(as('applicant').call(suspendAllocation, { params, body: reason }))).toBe(
      'auth.forbidden',
    );
    const suspended = await as('secretary').call(suspendAllocation, { params, body: reason });
    expect(suspended).toMatchObject({ state: 'suspended', balances: [{ available: 0 }] });
    const resumed = await as('secretary').call(resumeAllocation, { params, body: reason });
    expect(resumed).toMatchObject({ state: 'active', balances: [{ available: 1_500 }] });
    const closed = await as('applicant').call(closeAllocation, { params, body: { reason: 'done' } });
    expect(closed).toMatchObject({ state: 'closed', balances: [{ available: 0 }] });
    expect(await refusal(as('applicant').call(createAllocationKey, { params, body: { label: 'x' } }))).toBe(
      'access.allocation-inactive',
    );
  });

  it('is shared out by its owner to its people, and to nobody else', async () => {
    const colleague = world.people.colleague.personId;
    const allocationId = await allocate({ coApplicantIds: [colleague] });
    const body = { unit: 'output_tokens' as const, limit: 300 };
    const limit = (who: ApiClient, personId: string) =>
      who.call(limitPerson, { params: { allocationId, personId }, body });
    expect(await limit(as('applicant'), colleague)).toEqual({ ...body, held: 0, used: 0, available: 300 });
    expect(await refusal(limit(as('applicant'), world.people.otherLab.personId))).toBe('resource.not-found');
    expect(await refusal(limit(as('colleague'), colleague))).toBe('auth.forbidden');
  });

  it('of GPU-seconds comes out of what is lent for operations, never out of nothing', async () => {
    const requested = [{ unit: 'gpu_seconds', amount: 600 }];
    expect(await refusal(allocate({ requested }))).toBe('access.insufficient-units');
    const loan = {
      loanId: 'spring-2026',
      labId: world.labs.south,
      gpuSeconds: 1_000,
      reason: 'a quiet month',
    };
    await as('secretary').call(lendToOperations, { body: loan });
    const allocationId = await allocate({ requested });
    const { balances } = await as('applicant').call(showAllocation, { params: { allocationId } });
    expect(balances).toEqual([{ unit: 'gpu_seconds', granted: 600, available: 600, held: 0, used: 0 }]);
    const report = await createApiClient(world.service.url).call(gpuSecondsReport, {});
    expect(report.accounts).toMatchObject([
      { account: 'operations', received: 1_000, passedOn: 600, balance: 400 },
    ]);
  });
});

describe('what the consortium decides', () => {
  it('binds access from then on: a policy asks for recommendations of two labs', async () => {
    const policyId = newId('Policy');
    const roundId = newId('Round');
    const rule = {
      kind: 'require-reviews' as const,
      scope: 'internals:read' as const,
      recommendations: 2,
      models: {},
      exceptLabs: [],
    };
    await world.transactor.do((tx) =>
      tx.record('policy.adopted', { policyId, roundId, proposalId: newId('Proposal'), rule }),
    );
    const inForce = async () =>
      (await createApiClient(world.service.url).call(listPoliciesInForce, {})).items;
    await expect.poll(inForce, { timeout: 10_000 }).toMatchObject([{ policyId, rule }]);
    const params = { applicationId: await apply() };
    const award = { params, body: { outcome: 'award', reason: 'x' } } as const;
    const given = { outcome: 'award', score: 5, text: 'yes' } as const;
    for (const who of ['otherLab', 'thirdLab'] as const) {
      const { detail, code } = await problemOf(as('secretary').call(decideApplication, award));
      expect({ code, names: detail.includes(policyId) }).toEqual({
        code: 'access.review-missing',
        names: true,
      });
      await as(who).call(takeReview, { params, body: {} });
      await as(who).call(recommendApplication, { params, body: given });
    }
    expect((await as('secretary').call(decideApplication, award)).state).toBe('awarded');
    await world.transactor.do((tx) => tx.record('policy.ended', { policyId, roundId }));
    await expect.poll(inForce, { timeout: 10_000 }).toEqual([]);
  });

  it('moves GPU-seconds from pledges into the accounts of the adopted suites', async () => {
    const roundId = newId('Round');
    await world.transactor.do((tx) =>
      tx.record('round.funded', {
        roundId,
        pledges: [{ labId: world.labs.north, gpuSeconds: 500 }],
        byGpuType: [],
      }),
    );
    const rounds = async () => (await createApiClient(world.service.url).call(gpuSecondsReport, {})).rounds;
    await expect
      .poll(rounds, { timeout: 10_000 })
      .toMatchObject([{ round: `round:${roundId}`, funded: 500, left: 500 }]);
  });
});

describe('the books', () => {
  it('are in order after all this, for everybody to check', async () => {
    const books = await createApiClient(world.service.url).call(checkBooks, {});
    expect(books.checks.filter((check) => check.violations > 0)).toEqual([]);
    expect(books.ok).toBe(true);
    for (const { issued, available, held, used } of books.totals)
      expect(issued).toBe(available + held + used);
    expect((await as('auditor').call(listJournal, { query: { limit: 5 } })).items).toHaveLength(5);
    expect(await refusal(as('applicant').call(listJournal, {}))).toBe('auth.forbidden');
  });
});
