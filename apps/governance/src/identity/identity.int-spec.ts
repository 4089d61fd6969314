import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ApiClient,
  changeLab,
  createApiClient,
  createLab,
  grantConsortiumRole,
  grantLabRole,
  listKeys,
  listLabs,
  listMembers,
  listPeople,
  localLogin,
  loginWays,
  logOut,
  ProblemError,
  restorePerson,
  revokeConsortiumRole,
  revokeKey,
  revokeLabRole,
  showLab,
  showPerson,
  suspendPerson,
  whoAmI,
} from '@beamtime/contracts';
import { CreateAgentKey, CreateApiKey, Directory, IdentityModule, identitySchema } from '@beamtime/identity';
import { type AllocationId, type ClusterId, present } from '@beamtime/kernel';
import {
  type HttpService,
  loadConfig,
  newId,
  PlatformModule,
  sealAudit,
  serveHttp,
  Transactor,
} from '@beamtime/platform';
import { freshDatabase, redisForTest, type TestDatabase } from '@beamtime/testkit';
import { Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentityControllersModule } from './identity-controllers.module.js';

let database: TestDatabase;
let stateDir: string;
let service: HttpService;
let anonymous: ApiClient;
let secret: string;
let secretariat: ApiClient;
let labA: string;
let labB: string;

@Module({})
class TestModule {}

async function start(env: Record<string, string>): Promise<HttpService> {
  const redis = redisForTest();
  const config = loadConfig({
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    BEAMTIME_QUEUE_PREFIX: redis.prefix.replaceAll(':', '-'),
    BEAMTIME_STATE_DIR: stateDir,
    BEAMTIME_SECRET: 'x'.repeat(32),
    BEAMTIME_LOG_LEVEL: 'error',
    ...env,
  });
  const root = {
    module: TestModule,
    imports: [
      PlatformModule.register({ service: 'test', version: '0', config, schemas: [identitySchema] }),
      IdentityModule,
      IdentityControllersModule,
    ],
  };
  return serveHttp(root, { title: 'test', version: '0', host: '127.0.0.1', port: 0 });
}

async function logIn(
  email: string,
  options: { secretariat?: boolean; name?: string } = {},
): Promise<ApiClient> {
  const session = await anonymous.call(localLogin, { body: { email, secret, ...options } });
  return anonymous.as(session.token);
}

async function personIdOf(client: ApiClient): Promise<string> {
  const who = await client.call(whoAmI, {});
  return who.personId;
}

async function problemOf(call: Promise<unknown>): Promise<{ status: number; code: string }> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ProblemError) return { status: error.problem.status, code: error.problem.code };
    throw error;
  }
  throw new Error('the call was expected to fail');
}

beforeAll(async () => {
  database = await freshDatabase();
  stateDir = mkdtempSync(join(tmpdir(), 'beamtime-identity-'));
  service = await start({ BEAMTIME_EMBEDDED: 'true' });
  anonymous = createApiClient(service.url);
  secret = readFileSync(join(stateDir, 'local-login-secret'), 'utf8').trim();
  secretariat = await logIn('sam@consortium.example', { secretariat: true });
  labA = (
    await secretariat.call(createLab, { body: { slug: 'lab-a', name: 'Lab A', contributionWeight: 3 } })
  ).labId;
  labB = (await secretariat.call(createLab, { body: { slug: 'lab-b', name: 'Lab B' } })).labId;
});

afterAll(async () => {
  await service?.close();
  await database?.drop();
  rmSync(stateDir, { recursive: true, force: true });
});

describe('the local login', () => {
  it('keeps its secret where only the owner of the machine reads it', () => {
    expect(statSync(join(stateDir, 'local-login-secret')).mode & 0o777).toBe(0o600);
    expect(secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  it('lets in whoever knows the secret, as whom they say, and makes the person at the first login', async () => {
    expect(await anonymous.call(loginWays, {})).toEqual({ oidc: null, local: true });
    const ada = await logIn('Ada@Lab-A.example', { name: 'Ada Lovelace' });
    const who = await ada.call(whoAmI, {});
    expect(who).toMatchObject({
      kind: 'person',
      name: 'Ada Lovelace',
      email: 'ada@lab-a.example',
      assurance: 'local',
    });
    expect(await personIdOf(await logIn('ada@lab-a.example'))).toBe(who.personId);
  });

  it('makes one person of many first logins at once', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => logIn('crowd@lab-a.example')));
    expect(new Set(await Promise.all(clients.map(personIdOf))).size).toBe(1);
  });

  it('sets a cookie for the console that counts for changes only from our own pages', async () => {
    const response = await fetch(`${service.url}/auth/local`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'ada@lab-a.example', secret, keepIn: 'cookie' }),
    });
    expect(response.headers.get('cache-control')).toBe('no-store');
    const cookie = present(response.headers.getSetCookie()[0], 'the cookie');
    expect(cookie).toMatch(/^beamtime_session=bts_.*HttpOnly.*SameSite=Lax/);
    const headers = { cookie: present(cookie.split(';')[0], 'name and value') };
    expect((await fetch(`${service.url}/auth/whoami`, { headers })).status).toBe(200);
    const logOutFrom = (site: string) =>
      fetch(`${service.url}/auth/logout`, {
        method: 'POST',
        headers: { ...headers, 'sec-fetch-site': site },
      });
    expect((await logOutFrom('cross-site')).status).toBe(401);
    expect((await logOutFrom('same-origin')).status).toBe(204);
    expect((await fetch(`${service.url}/auth/whoami`, { headers })).status).toBe(401);
  });

  it('refuses a wrong secret, and after ten of them everything from that address for a while', async () => {
    const own = await start({ BEAMTIME_EMBEDDED: 'true' });
    try {
      const client = createApiClient(own.url);
      const attempt = (tried: string) =>
        problemOf(client.call(localLogin, { body: { email: 'eve@lab-a.example', secret: tried } }));
      for (let i = 0; i < 10; i++)
        expect(await attempt(`guess ${i}`)).toEqual({ status: 401, code: 'auth.invalid-credentials' });
      expect(await attempt(secret)).toEqual({ status: 429, code: 'request.rate-limited' });
    } finally {
      await own.close();
    }
  });

  it('is not there outside the embedded mode', async () => {
    const own = await start({});
    try {
      const client = createApiClient(own.url);
      expect(await client.call(loginWays, {})).toEqual({ oidc: null, local: false });
      expect(
        await problemOf(client.call(localLogin, { body: { email: 'eve@lab-a.example', secret } })),
      ).toEqual({
        status: 404,
        code: 'auth.login-unavailable',
      });
    } finally {
      await own.close();
    }
    await expect(start({ BEAMTIME_LOCAL_LOGIN: 'true' })).rejects.toThrow(/embedded mode/);
  });
});

describe('a session', () => {
  it('ends with the logout, alone or with all others of the person', async () => {
    const [one, other, third] = [
      await logIn('bob@lab-a.example'),
      await logIn('bob@lab-a.example'),
      await logIn('bob@lab-a.example'),
    ];
    await one.call(logOut, {});
    expect((await problemOf(one.call(whoAmI, {}))).status).toBe(401);
    await other.call(logOut, { query: { everywhere: 'true' } });
    expect((await problemOf(third.call(whoAmI, {}))).status).toBe(401);
  });

  it('ends when it is not used, and use prolongs it at most to its full life', async () => {
    const client = await logIn('idle@lab-a.example');
    const transactor = service.app.get(Transactor);
    const personId = await personIdOf(client);
    const age = (sql: string) =>
      transactor.do((tx) =>
        tx.changed(`UPDATE identity.session SET ${sql} WHERE person_id = $1`, [personId]),
      );
    await age(
      `last_seen_at = now() - interval '2 min', created_at = now() - interval '29 days', expires_at = now() + interval '1 h'`,
    );
    await client.call(whoAmI, {});
    const row = await transactor.read.row<{ hours: string }>(
      'SELECT extract(epoch FROM expires_at - now()) / 3600 AS hours FROM identity.session WHERE person_id = $1',
      [personId],
    );
    expect(Number(row?.hours)).toBeGreaterThan(23);
    expect(Number(row?.hours)).toBeLessThanOrEqual(24);
    await age(`expires_at = now() - interval '1 s'`);
    expect((await problemOf(client.call(whoAmI, {}))).status).toBe(401);
  });
});

describe('labs', () => {
  it('are admitted by the secretariat only, under a name of their own', async () => {
    const ada = await logIn('ada@lab-a.example');
    const body = { slug: 'lab-c', name: 'Lab C' };
    expect(await problemOf(ada.call(createLab, { body }))).toEqual({ status: 403, code: 'auth.forbidden' });
    expect(await problemOf(anonymous.call(createLab, { body }))).toEqual({
      status: 401,
      code: 'auth.required',
    });
    for (const taken of [
      { slug: 'lab-a', name: 'Other' },
      { slug: 'other', name: 'Lab A' },
    ])
      expect(await problemOf(secretariat.call(createLab, { body: taken }))).toEqual({
        status: 409,
        code: 'resource.exists',
      });
    expect(
      (await problemOf(secretariat.call(createLab, { body: { slug: 'Not A Slug', name: 'x' } }))).code,
    ).toBe('request.invalid');
  });

  it('are found by id and by short name, by anybody', async () => {
    expect((await anonymous.call(showLab, { params: { lab: 'lab-a' } })).labId).toBe(labA);
    expect((await anonymous.call(showLab, { params: { lab: labA } })).contributionWeight).toBe(3);
    expect((await anonymous.call(listLabs, {})).items.map((lab) => lab.slug)).toEqual(['lab-a', 'lab-b']);
    expect(await problemOf(anonymous.call(showLab, { params: { lab: 'lab-z' } }))).toEqual({
      status: 404,
      code: 'resource.not-found',
    });
  });

  it('change weight and arrears, as everybody then sees', async () => {
    await secretariat.call(changeLab, {
      params: { lab: 'lab-b' },
      body: { inArrears: true, contributionWeight: 7 },
    });
    const { items } = await anonymous.call(listLabs, {});
    expect(items.find((lab) => lab.labId === labB)).toMatchObject({ inArrears: true, contributionWeight: 7 });
  });
});

describe('roles', () => {
  const lab = { lab: 'lab-a' };

  it('granted to an address before its first login are held from that login on', async () => {
    const invited = await secretariat.call(grantLabRole, {
      params: lab,
      body: { email: 'Dora@lab-a.example', role: 'delegate' },
    });
    expect(invited).toMatchObject({
      invited: true,
      role: 'delegate',
      labId: labA,
      email: 'dora@lab-a.example',
    });
    const dora = await logIn('dora@lab-a.example');
    const who = await dora.call(whoAmI, {});
    expect(who).toMatchObject({
      personId: invited.personId,
      memberships: [{ labId: labA, labSlug: 'lab-a', role: 'delegate' }],
    });
    const directory = service.app.get(Directory);
    expect(await directory.holdersOf('delegate', labA as never)).toEqual([invited.personId]);
    expect(await directory.labIdsOf(invited.personId)).toEqual([labA]);
  });

  it('are given by a delegate in the own lab only, and not that of the delegate', async () => {
    const dora = await logIn('dora@lab-a.example');
    const granted = await dora.call(grantLabRole, {
      params: lab,
      body: { email: 'otto@lab-a.example', role: 'operator' },
    });
    expect(granted.role).toBe('operator');
    const again = await dora.call(grantLabRole, {
      params: lab,
      body: { personId: granted.personId, role: 'operator' },
    });
    expect(again.since).toBe(granted.since);
    const refused = { status: 403, code: 'auth.forbidden' };
    expect(
      await problemOf(
        dora.call(grantLabRole, {
          params: { lab: 'lab-b' },
          body: { email: 'x@lab-b.example', role: 'reviewer' },
        }),
      ),
    ).toEqual(refused);
    expect(
      await problemOf(
        dora.call(grantLabRole, { params: lab, body: { email: 'x@lab-a.example', role: 'delegate' } }),
      ),
    ).toEqual(refused);
    expect(
      await problemOf(
        dora.call(grantConsortiumRole, { body: { email: 'x@lab-a.example', role: 'auditor' } }),
      ),
    ).toEqual(refused);
    const otto = await logIn('otto@lab-a.example');
    expect(
      await problemOf(
        otto.call(grantLabRole, { params: lab, body: { email: 'x@lab-a.example', role: 'researcher' } }),
      ),
    ).toEqual(refused);
  });

  it('end at the next request once they are revoked', async () => {
    const dora = await logIn('dora@lab-a.example');
    const rita = await logIn('rita@lab-a.example');
    const personId = await personIdOf(rita);
    await dora.call(grantLabRole, { params: lab, body: { personId, role: 'researcher' } });
    expect(await rita.call(whoAmI, {})).toMatchObject({ memberships: [{ role: 'researcher' }] });
    const otto = await logIn('otto@lab-a.example');
    const role = { params: { ...lab, personId, role: 'researcher' as const } };
    expect((await problemOf(otto.call(revokeLabRole, role))).status).toBe(403);
    await rita.call(revokeLabRole, role);
    expect(await rita.call(whoAmI, {})).toMatchObject({ memberships: [] });
    expect(await problemOf(dora.call(revokeLabRole, role))).toEqual({
      status: 404,
      code: 'resource.not-found',
    });
  });

  it('never leave the consortium without a secretariat that can log in', async () => {
    const sam = await personIdOf(secretariat);
    const leave = (personId: string) =>
      secretariat.call(revokeConsortiumRole, { params: { personId, role: 'secretariat' } });
    const refused = { status: 409, code: 'identity.last-secretariat' };
    expect(await problemOf(leave(sam))).toEqual(refused);
    const next = await secretariat.call(grantConsortiumRole, {
      body: { email: 'next@consortium.example', role: 'secretariat' },
    });
    expect(await problemOf(leave(sam))).toEqual(refused);
    await logIn('next@consortium.example');
    await leave(next.personId);
    expect(await problemOf(leave(sam))).toEqual(refused);
  });

  it('are not lost by two members of the secretariat who leave at the same moment', async () => {
    const people = await Promise.all(
      ['s1', 's2', 's3'].map((name) => logIn(`${name}@consortium.example`, { secretariat: true })),
    );
    const everybody = [secretariat, ...people];
    const left = await Promise.allSettled(
      everybody.map(async (client) =>
        client.call(revokeConsortiumRole, {
          params: { personId: await personIdOf(client), role: 'secretariat' },
        }),
      ),
    );
    expect(left.filter((one) => one.status === 'fulfilled')).toHaveLength(everybody.length - 1);
    secretariat = await logIn('sam@consortium.example', { secretariat: true });
  });

  it('are refused for whom nobody knows, and for whom is named twice', async () => {
    const grant = (body: object) =>
      problemOf(secretariat.call(grantLabRole, { params: lab, body: body as never }));
    expect((await grant({ personId: newId('Person'), role: 'reviewer' })).code).toBe('resource.not-found');
    expect((await grant({ role: 'reviewer' })).code).toBe('request.invalid');
    expect((await grant({ personId: newId('Person'), email: 'x@y.example', role: 'reviewer' })).code).toBe(
      'request.invalid',
    );
    expect((await grant({ email: 'x@y.example', role: 'secretariat' })).code).toBe('request.invalid');
  });

  it('show addresses to the own lab, and names to all', async () => {
    const stranger = await logIn('stranger@lab-b.example');
    const dora = await logIn('dora@lab-a.example');
    const seenBy = async (client: ApiClient) =>
      (await client.call(listMembers, { params: lab })).items.find((one) => one.role === 'delegate')?.email;
    expect(await seenBy(dora)).toBe('dora@lab-a.example');
    expect(await seenBy(stranger)).toBeNull();
    const personId = await personIdOf(dora);
    expect(await stranger.call(showPerson, { params: { personId } })).toMatchObject({
      name: 'dora',
      email: null,
    });
    expect((await problemOf(stranger.call(listPeople, {}))).status).toBe(403);
    const first = await secretariat.call(listPeople, { query: { limit: 2 } });
    expect(first.items).toHaveLength(2);
    const rest = await secretariat.call(listPeople, { query: { after: present(first.next, 'a next page') } });
    expect(rest.items.map((one) => one.personId)).not.toContain(first.items[1]?.personId);
  });
});

describe('a suspended person', () => {
  it('gets in neither by session nor by key nor by a new login, until restored with all roles', async () => {
    const paul = await logIn('paul@lab-a.example');
    const personId = await personIdOf(paul);
    await secretariat.call(grantLabRole, {
      params: { lab: 'lab-a' },
      body: { personId, role: 'researcher' },
    });
    const made = await service.app.get(CreateApiKey).execute({
      allocationId: newId('Allocation') as AllocationId,
      personId: personId as never,
      scopes: ['outputs'],
      label: 'script',
      expiresAt: null,
      createdBy: personId,
    });
    const program = anonymous.as(made.ok ? made.value.token : '');
    expect((await problemOf(paul.call(suspendPerson, { params: { personId } }))).status).toBe(403);
    await secretariat.call(suspendPerson, { params: { personId } });
    expect(await secretariat.call(suspendPerson, { params: { personId } })).toMatchObject({
      suspended: true,
    });
    expect((await problemOf(paul.call(whoAmI, {}))).status).toBe(401);
    expect((await problemOf(program.call(whoAmI, {}))).status).toBe(401);
    expect(await problemOf(logIn('paul@lab-a.example'))).toEqual({ status: 403, code: 'auth.forbidden' });
    await secretariat.call(restorePerson, { params: { personId } });
    expect(await (await logIn('paul@lab-a.example')).call(whoAmI, {})).toMatchObject({
      memberships: [{ role: 'researcher' }],
    });
    expect(await program.call(whoAmI, {})).toMatchObject({ kind: 'api-key' });
    const nobody = { params: { personId: newId('Person') } };
    for (const endpoint of [suspendPerson, restorePerson])
      expect((await problemOf(secretariat.call(endpoint, nobody))).code).toBe('resource.not-found');
  });

  it('is never the last of the secretariat, also when two suspend each other at once', async () => {
    const rival = await logIn('rival@consortium.example', { secretariat: true });
    const [sam, riv] = [await personIdOf(secretariat), await personIdOf(rival)];
    expect((await problemOf(secretariat.call(suspendPerson, { params: { personId: sam } }))).status).toBe(
      403,
    );
    const outcomes = await Promise.allSettled([
      secretariat.call(suspendPerson, { params: { personId: riv } }),
      rival.call(suspendPerson, { params: { personId: sam } }),
    ]);
    expect(outcomes.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    const [winner, loser] = outcomes[0].status === 'fulfilled' ? [secretariat, riv] : [rival, sam];
    await winner.call(restorePerson, { params: { personId: loser } });
    secretariat = await logIn('sam@consortium.example');
    await secretariat.call(revokeConsortiumRole, { params: { personId: riv, role: 'secretariat' } });
  });
});

describe('keys', () => {
  const allocationId = newId('Allocation');

  async function apiKeyFor(client: ApiClient, expiresAt: Date | null = null) {
    const personId = (await client.call(whoAmI, {})).personId as never;
    const made = await service.app.get(CreateApiKey).execute({
      allocationId: allocationId as AllocationId,
      personId,
      scopes: ['outputs'],
      label: 'notebook',
      expiresAt,
      createdBy: personId,
    });
    if (!made.ok) throw new Error(made.error.detail);
    return made.value;
  }

  it('name their owner, allocation and scopes', async () => {
    const rita = await logIn('rita@lab-a.example');
    const { token, key } = await apiKeyFor(rita);
    expect(token).toMatch(/^btk_/);
    expect(await anonymous.as(token).call(whoAmI, {})).toEqual({
      kind: 'api-key',
      keyId: key.keyId,
      personId: await personIdOf(rita),
      allocationId,
      scopes: ['outputs'],
    });
    expect((await problemOf(anonymous.as(token).call(listKeys, {}))).status).toBe(403);
    const [listed] = (await rita.call(listKeys, {})).items;
    expect(listed).toMatchObject({ keyId: key.keyId, shownPrefix: token.slice(0, 8), label: 'notebook' });
    expect(listed?.lastUsedAt).not.toBeNull();
    expect(JSON.stringify(listed)).not.toContain(token);
  });

  it('are refused from the moment they are revoked, and stay so', async () => {
    const rita = await logIn('rita@lab-a.example');
    const { token, key } = await apiKeyFor(rita);
    const program = anonymous.as(token);
    await program.call(whoAmI, {});
    const stranger = await logIn('stranger@lab-b.example');
    expect((await problemOf(stranger.call(revokeKey, { params: { keyId: key.keyId } }))).status).toBe(404);
    const revoked = await rita.call(revokeKey, { params: { keyId: key.keyId } });
    expect(revoked.revokedAt).not.toBeNull();
    expect(await problemOf(program.call(whoAmI, {}))).toEqual({
      status: 401,
      code: 'auth.invalid-credentials',
    });
    expect((await secretariat.call(revokeKey, { params: { keyId: key.keyId } })).revokedAt).toBe(
      revoked.revokedAt,
    );
  });

  it('are refused by another process within a second of their revocation', async () => {
    const other = await start({});
    try {
      const rita = await logIn('rita@lab-a.example');
      const { token, key } = await apiKeyFor(rita);
      const program = createApiClient(other.url, token);
      await program.call(whoAmI, {});
      await rita.call(revokeKey, { params: { keyId: key.keyId } });
      await new Promise((resolve) => setTimeout(resolve, 900));
      expect((await problemOf(program.call(whoAmI, {}))).status).toBe(401);
    } finally {
      await other.close();
    }
  });

  it('are refused once they expire', async () => {
    const rita = await logIn('rita@lab-a.example');
    const { token } = await apiKeyFor(rita, new Date(Date.now() - 1));
    expect((await problemOf(anonymous.as(token).call(whoAmI, {}))).status).toBe(401);
  });

  it('of agents are looked after by the operators of their lab, and open nothing to people', async () => {
    const { token, key } = await service.app.get(CreateAgentKey).execute({
      clusterId: newId('Cluster') as ClusterId,
      labId: labA as never,
      label: 'cluster-a',
      createdBy: await personIdOf(secretariat),
    });
    expect(token).toMatch(/^bta_/);
    expect((await problemOf(anonymous.as(token).call(whoAmI, {}))).status).toBe(403);
    const otto = await logIn('otto@lab-a.example');
    expect((await otto.call(listKeys, {})).items.map((one) => one.keyId)).toContain(key.keyId);
    await otto.call(revokeKey, { params: { keyId: key.keyId } });
    expect((await problemOf(anonymous.as(token).call(whoAmI, {}))).status).toBe(401);
  });

  it('in any other form are refused without a look-up', async () => {
    for (const token of ['', 'nonsense', `bts_${'a'.repeat(43)}`, `btk_${'a'.repeat(43)}`, 'x'.repeat(5_000)])
      expect((await problemOf(anonymous.as(token).call(whoAmI, {}))).status).toBe(401);
  });
});

describe('the books', () => {
  it('record every change of roles and keys, without names, addresses or secrets', async () => {
    const transactor = service.app.get(Transactor);
    await sealAudit(transactor);
    const rows = await transactor.read.rows<{ action: string; text: string }>(
      `SELECT action, row_to_json(e)::text AS text FROM platform.audit_entry e`,
    );
    expect(new Set(rows.map((row) => row.action))).toEqual(
      new Set([
        'lab.create',
        'lab.change',
        'membership.grant',
        'membership.revoke',
        'key.create',
        'key.revoke',
        'person.first-login',
        'person.suspend',
        'person.restore',
      ]),
    );
    for (const { text } of rows) expect(text).not.toMatch(/@|bt[ska]_|Lovelace/);
  });

  it('keep no token in the database', async () => {
    const client = await logIn('ada@lab-a.example');
    const token = (await anonymous.call(localLogin, { body: { email: 'ada@lab-a.example', secret } })).token;
    await client.call(whoAmI, {});
    const rows = await service.app
      .get(Transactor)
      .read.rows<{ text: string }>(
        `SELECT row_to_json(s)::text AS text FROM identity.session s UNION ALL SELECT row_to_json(k)::text FROM identity.api_key k`,
      );
    for (const { text } of rows) expect(text).not.toContain(token.slice(4));
  });
});

describe('the schema', () => {
  it('is what its entities say', async () => {
    const { DataSource } = await import('typeorm');
    const diff = await service.app.get(DataSource).driver.createSchemaBuilder().log();
    expect(diff.upQueries.map((query) => query.query).filter((sql) => sql.includes('identity'))).toEqual([]);
  });
});
