import {
  type ApiClient,
  acceptAward,
  createApiClient,
  createApplication,
  decideApplication,
  type ProblemDetails,
  ProblemError,
} from '@beamtime/contracts';
import { IdentityModule } from '@beamtime/identity';
import { type SeededPerson, seedLab, seedPerson } from '@beamtime/identity/testing';
import { type LabId } from '@beamtime/kernel';
import { newId, Transactor } from '@beamtime/platform';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import { AccessServiceModule, accessSchemas } from './index.js';

/** An access service with real identity, three labs, and somebody in every role. */
export interface AccessForTest {
  readonly service: TestService;
  readonly transactor: Transactor;
  readonly labs: Readonly<Record<'north' | 'south' | 'west', LabId>>;
  readonly people: Readonly<Record<Who, SeededPerson>>;
  as(who: Who): ApiClient;
  /** Submits an application of the applicant, from the north lab. */
  apply(changes?: object): Promise<string>;
  /** Takes a small application all the way to its allocation. */
  allocate(changes?: object): Promise<string>;
}

/** Named by how they stand to an application of the north lab. */
export type Who =
  | 'applicant'
  | 'colleague'
  | 'sameLab'
  | 'otherLab'
  | 'thirdLab'
  | 'secretary'
  | 'secretaryOfNorth'
  | 'auditor';

export const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();

/** A large application: it needs a recommendation. */
export const form = {
  title: 'Induction heads in two languages',
  purpose: 'When do induction heads form, and does the language matter?',
  models: [newId('Model')],
  scopes: ['outputs', 'internals:read'] as ('outputs' | 'internals:read')[],
  requested: [
    { unit: 'output_tokens' as const, amount: 200_000 },
    { unit: 'activation_bytes' as const, amount: 5_000_000 },
  ],
  endsAt: inDays(90),
};

export async function accessForTest(): Promise<AccessForTest> {
  const service = await serviceForTest({
    module: AccessServiceModule,
    identity: IdentityModule,
    schemas: accessSchemas,
  });
  const transactor = service.app.get(Transactor);
  const { labs, people } = await transactor.do(async (tx) => {
    const north = await seedLab(tx, 'north');
    const south = await seedLab(tx, 'south');
    const west = await seedLab(tx, 'west');
    const people = {
      applicant: await seedPerson(tx, 'ada@north.org', [{ labId: north, role: 'researcher' }]),
      colleague: await seedPerson(tx, 'col@west.org', [
        { labId: west, role: 'researcher' },
        { labId: west, role: 'reviewer' },
      ]),
      sameLab: await seedPerson(tx, 'sam@north.org', [{ labId: north, role: 'reviewer' }]),
      otherLab: await seedPerson(tx, 'oto@south.org', [{ labId: south, role: 'reviewer' }]),
      thirdLab: await seedPerson(tx, 'tim@west.org', [{ labId: west, role: 'reviewer' }]),
      secretary: await seedPerson(tx, 'sec@beamtime.org', [{ labId: null, role: 'secretariat' }]),
      secretaryOfNorth: await seedPerson(tx, 'sen@north.org', [
        { labId: null, role: 'secretariat' },
        { labId: north, role: 'operator' },
      ]),
      auditor: await seedPerson(tx, 'aud@beamtime.org', [{ labId: null, role: 'auditor' }]),
    };
    return { labs: { north, south, west }, people };
  });
  const as = (who: Who) => createApiClient(service.url, people[who].token);
  const apply = async (changes: object = {}) =>
    (await as('applicant').call(createApplication, { body: { ...form, ...changes } })).applicationId;
  const allocate = async (changes: object = {}) => {
    const requested = [{ unit: 'output_tokens', amount: 1_000 }];
    const params = { applicationId: await apply({ requested, ...changes }) };
    await as('secretary').call(decideApplication, { params, body: { outcome: 'award', reason: 'small' } });
    return (await as('applicant').call(acceptAward, { params })).allocationId;
  };
  return { service, transactor, labs, people, as, apply, allocate };
}

/** The problem that a call is refused with; throws when it is not. */
export async function problemOf(call: Promise<unknown>): Promise<ProblemDetails> {
  const error = await call.then(
    () => new Error('the call went through'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ProblemError) return error.problem;
  throw error;
}

export const refusal = async (call: Promise<unknown>): Promise<string> => (await problemOf(call)).code;
