import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Asking, type Parties, relationTo } from './relation.js';

const lab = fc.constantFrom('north', 'south', 'west');
const person = fc.constantFrom('ada', 'bo', 'col', 'dee');
const membership = fc.oneof(
  fc.record({ labId: lab, role: fc.constantFrom('reviewer', 'researcher', 'delegate', 'operator') }),
  fc.record({ labId: fc.constant(null), role: fc.constantFrom('secretariat', 'auditor') }),
);
const parties: fc.Arbitrary<Parties> = fc.record({
  labId: lab,
  applicantId: person,
  coApplicants: fc.array(fc.record({ personId: person, labIds: fc.array(lab, { maxLength: 2 }) }), {
    maxLength: 2,
  }),
  declaredConflicts: fc.array(person, { maxLength: 2 }),
});
const asking: fc.Arbitrary<Asking> = fc.record({
  personId: person,
  memberships: fc.array(membership, { maxLength: 3 }),
});

describe('who judges an application', () => {
  it('is never the applicant, a co-applicant, somebody of their labs, or one who declared a conflict', () => {
    fc.assert(
      fc.property(parties, asking, (of, who) => {
        const { kind } = relationTo(of, who);
        fc.pre(kind === 'reviewer' || kind === 'secretariat');
        const labs = who.memberships.map(({ labId }) => labId);
        expect(who.personId).not.toBe(of.applicantId);
        expect(of.declaredConflicts).not.toContain(who.personId);
        expect(of.coApplicants.map((one) => one.personId)).not.toContain(who.personId);
        expect(labs).not.toContain(of.labId);
        for (const one of of.coApplicants) for (const labId of one.labIds) expect(labs).not.toContain(labId);
      }),
    );
  });

  it('holds an office: nobody reviews or decides without one', () => {
    fc.assert(
      fc.property(parties, asking, (of, who) => {
        const { kind } = relationTo(of, who);
        const roles = who.memberships.map(({ role }) => role);
        if (kind === 'reviewer' || kind === 'secretariat' || kind === 'auditor')
          expect(roles).toContain(kind);
      }),
    );
  });
});

describe('those who apply', () => {
  const application: Parties = {
    labId: 'north',
    applicantId: 'ada',
    coApplicants: [{ personId: 'bo', labIds: ['south'] }],
    declaredConflicts: [],
  };
  it('see their own application, unless they hold an office that would let them judge it', () => {
    const researcher = [{ labId: 'south', role: 'researcher' }];
    expect(relationTo(application, { personId: 'ada', memberships: [] }).kind).toBe('applicant');
    expect(relationTo(application, { personId: 'bo', memberships: researcher }).kind).toBe('co-applicant');
    const reviewer = [{ labId: 'south', role: 'reviewer' }];
    expect(relationTo(application, { personId: 'bo', memberships: reviewer }).kind).toBe('conflicted');
  });
});
