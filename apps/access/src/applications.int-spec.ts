import {
  acceptAward,
  changeApplication,
  createApiClient,
  createApplication,
  decideApplication,
  declareConflict,
  type EndpointSpec,
  listApplications,
  recommendApplication,
  showAllocation,
  showApplication,
  submitApplication,
  takeReview,
  withdrawApplication,
} from '@beamtime/contracts';
import { seedPerson } from '@beamtime/identity/testing';
import { newId } from '@beamtime/platform';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AccessForTest, accessForTest, form, inDays, problemOf, refusal, type Who } from './testing.js';

let world: AccessForTest;
beforeAll(async () => {
  world = await accessForTest();
});
afterAll(() => world.service.close());
const as = (who: Who) => world.as(who);
const apply = (changes?: object) => world.apply(changes);

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
    expect(review.reviewerId).toBe(world.people.otherLab.personId);
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
      ownerId: world.people.applicant.personId,
      scopes: form.scopes,
    });
    expect(allocation.balances).toEqual([
      { unit: 'activation_bytes', granted: 5_000_000, available: 5_000_000, held: 0, used: 0 },
      { unit: 'output_tokens', granted: 150_000, available: 150_000, held: 0, used: 0 },
    ]);
    const facts = await world.transactor.read.rows(
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
    expect(await refusal(apply({ labId: world.labs.south }))).toBe('auth.forbidden');
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
    const coApplicantIds = 'co' in how ? [world.people.colleague.personId] : [];
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
    expect(await refusal(name(world.people.sameLab.personId))).toBe('access.conflict-of-interest');
    expect(await refusal(name(world.people.secretary.personId))).toBe('auth.forbidden');
    expect((await name(world.people.otherLab.personId)).labId).toBe(world.labs.south);
    expect(
      await refusal(
        as('otherLab').call(takeReview, { params, body: { reviewerId: world.people.thirdLab.personId } }),
      ),
    ).toBe('auth.forbidden');
  });

  it('does not open an application to strangers either', async () => {
    const params = { applicationId: await apply() };
    expect(await refusal(createApiClient(world.service.url).call(showApplication, { params }))).toBe(
      'auth.required',
    );
    expect((await as('auditor').call(showApplication, { params })).mayI).toBe('auditor');
    const stranger = await world.transactor.do((tx) => seedPerson(tx, 'x@x.org', []));
    const call = createApiClient(world.service.url, stranger.token).call(showApplication, { params });
    expect(await refusal(call)).toBe('auth.forbidden');
    expect(await refusal(as('applicant').call(listApplications, { query: { scope: 'all' } }))).toBe(
      'auth.forbidden',
    );
    const unknown = { params: { applicationId: newId('Application') } };
    expect(await refusal(as('auditor').call(showApplication, unknown))).toBe('resource.not-found');
  });
});
