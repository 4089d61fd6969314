import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HeldRole, labsWhoseAgentKeys, mayGrant, mayRevoke, seesAddress } from './grant-rules.js';

const labRole = fc.constantFrom('delegate', 'deputy', 'reviewer', 'operator', 'researcher');
const lab = fc.constantFrom('lab_a', 'lab_b');
const held: fc.Arbitrary<HeldRole> = fc.oneof(
  fc.record({ labId: lab, role: labRole }),
  fc.record({ labId: fc.constant(null), role: fc.constantFrom('secretariat', 'auditor') }),
);

describe('granting a role', () => {
  it('is open to the secretariat for every role', () => {
    fc.assert(
      fc.property(held, fc.array(held), (target, others) => {
        expect(mayGrant([...others, { labId: null, role: 'secretariat' }], target)).toBe(true);
      }),
    );
  });

  it('never lets anybody else give a role of the consortium, of another lab, or of a delegate', () => {
    fc.assert(
      fc.property(held, fc.array(held), (target, roles) => {
        const granter = roles.filter((one) => one.role !== 'secretariat');
        if (!mayGrant(granter, target)) return;
        expect(target.labId).not.toBeNull();
        expect(target.role).not.toBe('delegate');
        expect(granter).toContainEqual({ labId: target.labId, role: 'delegate' });
      }),
    );
  });

  it('lets a delegate staff the own lab', () => {
    const delegate = [{ labId: 'lab_a', role: 'delegate' }];
    expect(mayGrant(delegate, { labId: 'lab_a', role: 'operator' })).toBe(true);
    expect(mayGrant(delegate, { labId: 'lab_b', role: 'operator' })).toBe(false);
  });
});

describe('revoking a role', () => {
  it('lets everybody lay down a role of their own', () => {
    expect(mayRevoke([], true, { labId: 'lab_a', role: 'reviewer' })).toBe(true);
    expect(mayRevoke([], false, { labId: 'lab_a', role: 'reviewer' })).toBe(false);
  });
});

describe('an e-mail address', () => {
  it('is shown to oneself, to the own lab, to the secretariat and to auditors', () => {
    const person = { personId: 'per_x', labIds: ['lab_a'] };
    const sees = (memberships: HeldRole[], personId = 'per_y') =>
      seesAddress({ personId, memberships }, person);
    expect(sees([], 'per_x')).toBe(true);
    expect(sees([{ labId: 'lab_a', role: 'researcher' }])).toBe(true);
    expect(sees([{ labId: null, role: 'auditor' }])).toBe(true);
    expect(sees([{ labId: 'lab_b', role: 'delegate' }])).toBe(false);
  });
});

it('agent keys are looked after by operators, delegates and deputies of the lab', () => {
  expect(
    labsWhoseAgentKeys([
      { labId: 'lab_a', role: 'operator' },
      { labId: 'lab_a', role: 'delegate' },
      { labId: 'lab_b', role: 'researcher' },
      { labId: null, role: 'auditor' },
    ]),
  ).toEqual(['lab_a']);
});
