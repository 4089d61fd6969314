import { type ApiClient, createLab, grantLabRole, localLogin, type Role } from '@beamtime/contracts';
import type { Narrator } from '../narrate.js';
import type { Lab, Person } from '../world.js';

const labNames = [
  { slug: 'nordlicht', name: 'Nordlicht Institute' },
  { slug: 'cantabria', name: 'Cantabria Language Lab' },
  { slug: 'meridian', name: 'Meridian University' },
] as const;

const people = [
  { role: 'delegate', names: ['Ada', 'Alba', 'Amara'] },
  { role: 'reviewer', names: ['Rasmus', 'Rocío', 'Ruth'] },
  { role: 'researcher', names: ['Signe', 'Sofía', 'Samuel'] },
  { role: 'operator', names: ['Oskar', 'Olmo', 'Otieno'] },
] as const satisfies readonly { role: Role; names: readonly string[] }[];

/** Logs somebody in the way that the CLI does on the machine of the facility. */
async function logIn(
  api: ApiClient,
  secret: string,
  email: string,
  name: string,
  secretariat: boolean,
): Promise<Person> {
  const session = await api.call(localLogin, { body: { email, secret, name, secretariat } });
  if (session.who.kind !== 'person') throw new Error('a login answers with a person');
  return { personId: session.who.personId, name, email, api: api.as(session.token) };
}

/** Three labs with people in different roles, and the secretariat of the consortium. */
export async function foundConsortium(
  api: ApiClient,
  loginSecret: string,
  runName: string,
  narrator: Narrator,
): Promise<{ secretariat: Person; labs: Lab[] }> {
  narrator.chapter('A consortium of three labs');
  const secretariat = await logIn(api, loginSecret, `secretariat@consortium.example`, 'Secretariat', true);
  const labs: Lab[] = [];
  for (const [i, lab] of labNames.entries()) {
    const slug = `${lab.slug}-${runName}`;
    const created = await secretariat.api.call(createLab, {
      body: { slug, name: `${lab.name} (${runName})` },
    });
    const members: Record<string, Person> = {};
    for (const { role, names } of people) {
      const name = names[i] ?? role;
      const email = `${role}@${slug}.example`;
      await secretariat.api.call(grantLabRole, {
        params: { lab: created.labId },
        body: { email, name, role },
      });
      members[role] = await logIn(api, loginSecret, email, name, false);
    }
    const { delegate, reviewer, researcher, operator } = members;
    if (!delegate || !reviewer || !researcher || !operator) throw new Error('a lab has four people');
    labs.push({ labId: created.labId, slug, name: lab.name, delegate, reviewer, researcher, operator });
  }
  narrator.table(
    ['lab', 'delegate', 'reviewer', 'researcher', 'operator', 'id'],
    labs.map((lab) => [
      lab.name,
      lab.delegate.name,
      lab.reviewer.name,
      lab.researcher.name,
      lab.operator.name,
      lab.labId,
    ]),
  );
  return { secretariat, labs };
}
