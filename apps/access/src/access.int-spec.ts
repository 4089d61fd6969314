import {
  type ApiClient,
  acceptAward,
  amendAllocation,
  changeApplication,
  checkBooks,
  closeAllocation,
  createAllocationKey,
  createApiClient,
  createApplication,
  decideApplication,
  declareConflict,
  type EndpointSpec,
  gpuSecondsReport,
  lendToOperations,
  limitPerson,
  listAllocations,
  listApplications,
  listJournal,
  listPoliciesInForce,
  listUsage,
  ProblemError,
  recommendApplication,
  resumeAllocation,
  showAllocation,
  showApplication,
  submitApplication,
  suspendAllocation,
  takeReview,
  withdrawApplication,
} from '@beamtime/contracts';
import { IdentityModule } from '@beamtime/identity';
import { type SeededPerson, seedLab, seedPerson } from '@beamtime/identity/testing';
import type { LabId } from '@beamtime/kernel';
import { newId, Transactor } from '@beamtime/platform';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AccessServiceModule, accessSchemas } from './index.js';

let service: TestService;
let transactor: Transactor;
let labs: { north: LabId; south: LabId; west: LabId };
let people: Record<
  | 'applicant'
  | 'colleague'
  | 'sameLab'
  | 'otherLab'
  | 'thirdLab'
  | 'secretary'
  | 'secretaryOfNorth'
  | 'auditor',
  SeededPerson
>;
const as = (who: keyof typeof people): ApiClient => createApiClient(service.url, people[who].token);

beforeAll(async () => {
  service = await serviceForTest({
    module: AccessServiceModule,
    identity: IdentityModule,
    schemas: accessSchemas,
  });
  transactor = service.app.get(Transactor);
  await transactor.do(async (tx) => {
    labs = {
      north: await seedLab(tx, 'north'),
      south: await seedLab(tx, 'south'),
      west: await seedLab(tx, 'west'),
    };
    people = {
      applicant: await seedPerson(tx, 'ada@north.org', [{ labId: labs.north, role: 'researcher' }]),
      colleague: await seedPerson(tx, 'col@west.org', [
        { labId: labs.west, role: 'researcher' },
        { labId: labs.west, role: 'reviewer' },
      ]),
      sameLab: await seedPerson(tx, 'sam@north.org', [{ labId: labs.north, role: 'reviewer' }]),
      otherLab: await seedPerson(tx, 'oto@south.org', [{ labId: labs.south, role: 'reviewer' }]),
      thirdLab: await seedPerson(tx, 'tim@west.org', [{ labId: labs.west, role: 'reviewer' }]),
      secretary: await seedPerson(tx, 'sec@beamtime.org', [{ labId: null, role: 'secretariat' }]),
      secretaryOfNorth: await seedPerson(tx, 'sen@north.org', [
        { labId: null, role: 'secretariat' },
        { labId: labs.north, role: 'operator' },
      ]),
      auditor: await seedPerson(tx, 'aud@beamtime.org', [{ labId: null, role: 'auditor' }]),
    };
  });
});
afterAll(() => service.close());

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
const modelId = newId('Model');
const form = {
  title: 'Induction heads in two languages',
  purpose: 'When do induction heads form, and does the language matter?',
  models: [modelId],
  scopes: ['outputs', 'internals:read'] as ('outputs' | 'internals:read')[],
  requested: [
    { unit: 'output_tokens' as const, amount: 200_000 },
    { unit: 'activation_bytes' as const, amount: 5_000_000 },
  ],
  endsAt: inDays(90),
};

async function problemOf(call: Promise<unknown>): Promise<{ code: string; status: number; detail: string }> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProblemError);
  return (error as ProblemError).problem;
}
const refusal = async (call: Promise<unknown>) => (await problemOf(call)).code;
const apply = async (changes: object = {}) =>
  (await as('applicant').call(createApplication, { body: { ...form, ...changes } })).applicationId;

async function allocate(changes: object = {}): Promise<string> {
  const applicationId = await apply({ requested: [{ unit: 'output_tokens', amount: 1_000 }], ...changes });
  await as('secretary').call(decideApplication, {
    params: { applicationId },
    body: { outcome: 'award', reason: 'small' },
  });
  return (await as('applicant').call(acceptAward, { params: { applicationId } })).allocationId;
}

describe('an application', () => {
  it('goes from draft over the reviews of other labs to an allocation that grants what was awarded', async () => {
    const applicationId = await apply({ submit: false });
    const params = { applicationId };
    expect(await refusal(as('otherLab').call(showApplication, { params }))).toBe('resource.not-found');
    await as('applicant').call(changeApplication, { params, body: { title: 'Induction heads' } });
    expect((await as('applicant').call(submitApplication, { params, body: {} })).state).toBe('submitted');
    expect(await refusal(as('applicant').call(changeApplication, { params, body: { title: 'x' } }))).toBe(
      'state.illegal-transition',
    );

    const review = await as('otherLab').call(takeReview, { params, body: {} });
    expect(review.reviewerId).toBe(people.otherLab.personId);
    expect(await refusal(as('otherLab').call(takeReview, { params, body: {} }))).toBe('resource.exists');
    const given = { outcome: 'award', score: 4, text: 'A clear question, and small enough.' } as const;
    expect(await refusal(as('thirdLab').call(recommendApplication, { params, body: given }))).toBe(
      'auth.forbidden',
    );
    const award = {
      params,
      body: {
        outcome: 'award' as const,
        reason: 'good',
        granted: [
          { unit: 'output_tokens' as const, amount: 150_000 },
          { unit: 'activation_bytes' as const, amount: 5_000_000 },
        ],
      },
    };
    expect(await refusal(as('secretary').call(decideApplication, award))).toBe('access.review-missing');
    await as('otherLab').call(recommendApplication, { params, body: given });
    expect(await refusal(as('otherLab').call(recommendApplication, { params, body: given }))).toBe(
      'state.conflict',
    );
    expect((await as('applicant').call(showApplication, { params })).reviews).toEqual([]);

    expect(await refusal(as('applicant').call(acceptAward, { params }))).toBe('state.illegal-transition');
    const decided = await as('secretary').call(decideApplication, award);
    expect(decided).toMatchObject({ state: 'awarded', decision: { outcome: 'award', reason: 'good' } });
    const seen = await as('applicant').call(showApplication, { params });
    expect(seen.reviews).toMatchObject([{ outcome: 'award', score: 4, reviewerId: null, labId: null }]);
    expect(seen.events.map(({ action, to }) => `${action} → ${to}`)).toEqual([
      'draft → draft',
      'change → draft',
      'submit → submitted',
      'review → in-review',
      'recommend → recommended',
      'award → awarded',
    ]);

    expect(await refusal(as('otherLab').call(acceptAward, { params }))).toBe('auth.forbidden');
    const { allocationId } = await as('applicant').call(acceptAward, { params });
    const allocation = await as('applicant').call(showAllocation, { params: { allocationId } });
    expect(allocation).toMatchObject({
      state: 'active',
      ownerId: people.applicant.personId,
      scopes: form.scopes,
    });
    expect(allocation.balances).toEqual([
      { unit: 'activation_bytes', granted: 5_000_000, available: 5_000_000, held: 0, used: 0 },
      { unit: 'output_tokens', granted: 150_000, available: 150_000, held: 0, used: 0 },
    ]);
    const facts = await transactor.read.rows(
      `SELECT payload->>'allocationId' AS id FROM platform.outbox WHERE type = 'allocation.activated'`,
    );
    expect(facts).toEqual([{ id: allocationId }]);
    expect(await refusal(as('applicant').call(withdrawApplication, { params, body: {} }))).toBe(
      'state.illegal-transition',
    );
  });

  it('is withdrawn, rejected and appealed by those who may, and by the table', async () => {
    const one = { applicationId: await apply() };
    expect(await refusal(as('otherLab').call(withdrawApplication, { params: one, body: {} }))).toBe(
      'auth.forbidden',
    );
    expect((await as('applicant').call(withdrawApplication, { params: one, body: {} })).state).toBe(
      'withdrawn',
    );
    const two = { applicationId: await apply() };
    const reject = { outcome: 'reject', reason: 'Too vague' } as const;
    await as('secretary').call(decideApplication, { params: two, body: reject });
    expect(await refusal(as('secretary').call(decideApplication, { params: two, body: reject }))).toBe(
      'state.illegal-transition',
    );
    const again = await as('applicant').call(submitApplication, {
      params: two,
      body: { reason: 'Now precise' },
    });
    expect(again.state).toBe('submitted');
  });

  it('cannot be awarded more than was asked for', async () => {
    const params = { applicationId: await apply({ requested: [{ unit: 'output_tokens', amount: 10 }] }) };
    const award = { outcome: 'award', reason: 'x' } as const;
    for (const more of [
      { granted: [{ unit: 'output_tokens' as const, amount: 11 }] },
      { granted: [{ unit: 'gpu_seconds' as const, amount: 1 }] },
      { scopes: ['gradients' as const] },
      { models: ['*'] },
      { endsAt: inDays(91) },
    ]) {
      const call = as('secretary').call(decideApplication, { params, body: { ...award, ...more } });
      expect(await refusal(call)).toBe('limit.exceeded');
    }
  });

  it('is refused with a sentence when it does not fit the form', async () => {
    for (const wrong of [
      { requested: [] },
      { requested: [{ unit: 'output_tokens', amount: 1.5 }] },
      { requested: [{ unit: 'euros', amount: 1 }] },
      { scopes: ['root'] },
      { models: ['gpt-4'] },
      { endsAt: '2020-01-01T00:00:00Z' },
      { title: ' ' },
    ]) {
      expect(await refusal(apply(wrong))).toBe('request.invalid');
    }
    expect(await refusal(apply({ labId: labs.south }))).toBe('auth.forbidden');
    expect(await refusal(apply({ coApplicantIds: [newId('Person')] }))).toBe('resource.not-found');
    expect(await refusal(as('sameLab').call(createApplication, { body: form }))).toBe('auth.forbidden');
  });
});

describe('a conflict of interest', () => {
  /** Every route of an application, as somebody with that office would call it. */
  const routes = (applicationId: string): [EndpointSpec, object][] => {
    const params = { applicationId };
    return [
      [showApplication, { params }],
      [changeApplication, { params, body: { title: 'x' } }],
      [submitApplication, { params, body: {} }],
      [withdrawApplication, { params, body: {} }],
      [takeReview, { params, body: {} }],
      [recommendApplication, { params, body: { outcome: 'award', score: 5, text: 'great' } }],
      [declareConflict, { params, body: { reason: 'x' } }],
      [decideApplication, { params, body: { outcome: 'award', reason: 'x' } }],
      [acceptAward, { params }],
    ];
  };
  /** Routes that only an office which this person does not hold may call at all: refused before anything is read. */
  const otherOffice = { reviewer: ['applications.decide'], secretariat: ['applications.recommend'] } as const;

  it.each([
    ['a reviewer of the same lab', 'sameLab', 'reviewer', {}],
    ['a reviewer who is a co-applicant', 'colleague', 'reviewer', { co: true }],
    ['a reviewer of a co-applicant’s lab', 'thirdLab', 'reviewer', { co: true }],
    ['a reviewer who declared one', 'otherLab', 'reviewer', { declared: true }],
    ['a member of the secretariat from the same lab', 'secretaryOfNorth', 'secretariat', {}],
  ] as const)('bars %s from every route, reading included', async (_, who, office, how) => {
    const coApplicantIds = 'co' in how ? [people.colleague.personId] : [];
    const applicationId = await apply({ coApplicantIds });
    if ('declared' in how) {
      await as(who).call(takeReview, { params: { applicationId }, body: {} });
      await as(who).call(declareConflict, { params: { applicationId }, body: { reason: 'a joint project' } });
    }
    for (const [spec, input] of routes(applicationId)) {
      const { code, status } = await problemOf(as(who).call(spec, input as never));
      expect({ route: spec.id, status, code }).toEqual({
        route: spec.id,
        status: 403,
        code: (otherOffice[office] as readonly string[]).includes(spec.id)
          ? 'auth.forbidden'
          : 'access.conflict-of-interest',
      });
    }
    const listed = await as(who).call(listApplications, { query: { scope: 'review', limit: 500 } });
    expect(listed.items.map((one) => one.applicationId)).not.toContain(applicationId);
  });

  it('keeps the secretariat from naming a reviewer who has one, and lets it name another', async () => {
    const params = { applicationId: await apply() };
    const name = (reviewerId: string) => as('secretary').call(takeReview, { params, body: { reviewerId } });
    expect(await refusal(name(people.sameLab.personId))).toBe('access.conflict-of-interest');
    expect(await refusal(name(people.secretary.personId))).toBe('auth.forbidden');
    expect((await name(people.otherLab.personId)).labId).toBe(labs.south);
    expect(
      await refusal(
        as('otherLab').call(takeReview, { params, body: { reviewerId: people.thirdLab.personId } }),
      ),
    ).toBe('auth.forbidden');
  });

  it('does not open an application to strangers either', async () => {
    const params = { applicationId: await apply() };
    expect(await refusal(createApiClient(service.url).call(showApplication, { params }))).toBe(
      'auth.required',
    );
    expect((await as('auditor').call(showApplication, { params })).mayI).toBe('auditor');
    const stranger = await transactor.do((tx) => seedPerson(tx, 'x@x.org', []));
    const call = createApiClient(service.url, stranger.token).call(showApplication, { params });
    expect(await refusal(call)).toBe('auth.forbidden');
    expect(await refusal(as('applicant').call(listApplications, { query: { scope: 'all' } }))).toBe(
      'auth.forbidden',
    );
    const unknown = { params: { applicationId: newId('Application') } };
    expect(await refusal(as('auditor').call(showApplication, unknown))).toBe('resource.not-found');
  });
});

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
    const byKey = createApiClient(service.url, key.token);
    expect((await byKey.call(showAllocation, { params })).allocationId).toBe(allocationId);
    const other = { params: { allocationId: await allocate() } };
    expect(await refusal(byKey.call(showAllocation, other))).toBe('auth.forbidden');
    expect(await refusal(byKey.call(listApplications, {}))).toBe('auth.forbidden');
  });

  it('is seen by its owner, its lab’s delegates and the offices, and by nobody else', async () => {
    const allocationId = await allocate();
    const delegate = await transactor.do((tx) =>
      seedPerson(tx, `del${allocationId}@north.org`, [{ labId: labs.north, role: 'delegate' }]),
    );
    for (const client of [
      as('applicant'),
      as('secretary'),
      as('auditor'),
      createApiClient(service.url, delegate.token),
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
    const colleague = people.colleague.personId;
    const allocationId = await allocate({ coApplicantIds: [colleague] });
    const body = { unit: 'output_tokens' as const, limit: 300 };
    const limit = (who: ApiClient, personId: string) =>
      who.call(limitPerson, { params: { allocationId, personId }, body });
    expect(await limit(as('applicant'), colleague)).toEqual({ ...body, held: 0, used: 0, available: 300 });
    expect(await refusal(limit(as('applicant'), people.otherLab.personId))).toBe('resource.not-found');
    expect(await refusal(limit(as('colleague'), colleague))).toBe('auth.forbidden');
  });

  it('of GPU-seconds comes out of what is lent for operations, never out of nothing', async () => {
    const requested = [{ unit: 'gpu_seconds', amount: 600 }];
    expect(await refusal(allocate({ requested }))).toBe('access.insufficient-units');
    const loan = { loanId: 'spring-2026', labId: labs.south, gpuSeconds: 1_000, reason: 'a quiet month' };
    await as('secretary').call(lendToOperations, { body: loan });
    const allocationId = await allocate({ requested });
    const { balances } = await as('applicant').call(showAllocation, { params: { allocationId } });
    expect(balances).toEqual([{ unit: 'gpu_seconds', granted: 600, available: 600, held: 0, used: 0 }]);
    const report = await createApiClient(service.url).call(gpuSecondsReport, {});
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
    await transactor.do((tx) =>
      tx.record('policy.adopted', { policyId, roundId, proposalId: newId('Proposal'), rule }),
    );
    const inForce = async () => (await createApiClient(service.url).call(listPoliciesInForce, {})).items;
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
    await transactor.do((tx) => tx.record('policy.ended', { policyId, roundId }));
    await expect.poll(inForce, { timeout: 10_000 }).toEqual([]);
  });

  it('moves GPU-seconds from pledges into the accounts of the adopted suites', async () => {
    const roundId = newId('Round');
    await transactor.do((tx) =>
      tx.record('round.funded', {
        roundId,
        pledges: [{ labId: labs.north, gpuSeconds: 500 }],
        byGpuType: [],
      }),
    );
    const rounds = async () => (await createApiClient(service.url).call(gpuSecondsReport, {})).rounds;
    await expect
      .poll(rounds, { timeout: 10_000 })
      .toMatchObject([{ round: `round:${roundId}`, funded: 500, left: 500 }]);
  });
});

describe('the books', () => {
  it('are in order after all this, for everybody to check', async () => {
    const books = await createApiClient(service.url).call(checkBooks, {});
    expect(books.checks.filter((check) => check.violations > 0)).toEqual([]);
    expect(books.ok).toBe(true);
    for (const { issued, available, held, used } of books.totals)
      expect(issued).toBe(available + held + used);
    expect((await as('auditor').call(listJournal, { query: { limit: 5 } })).items).toHaveLength(5);
    expect(await refusal(as('applicant').call(listJournal, {}))).toBe('auth.forbidden');
  });
});
