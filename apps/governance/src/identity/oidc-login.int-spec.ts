/// <reference path="./oidc-provider.d.ts" />
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createApiClient,
  createLab,
  exchangeLoginCode,
  grantLabRole,
  loginWays,
  ProblemError,
  whoAmI,
} from '@beamtime/contracts';
import { IdentityModule, identitySchema } from '@beamtime/identity';
import { present } from '@beamtime/kernel';
import {
  createLogger,
  type HttpService,
  LOGGER,
  loadConfig,
  PlatformModule,
  serveHttp,
} from '@beamtime/platform';
import { freshDatabase, redisForTest, type TestDatabase } from '@beamtime/testkit';
import { Module } from '@nestjs/common';
import { Provider } from 'oidc-provider';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentityControllersModule } from './identity-controllers.module.js';

/** The institution's people: what its provider says about each. */
const accounts: Record<string, { email: string; email_verified: boolean; name: string }> = {
  ada: { email: 'Ada@Institute.example', email_verified: true, name: 'Ada Lovelace' },
  sam: { email: 'sam@consortium.example', email_verified: true, name: 'Sam Secretary' },
  mallory: { email: 'sam@consortium.example', email_verified: true, name: 'Mallory' },
  nobody: { email: 'nobody@institute.example', email_verified: false, name: 'No Body' },
};

let database: TestDatabase;
let institution: Server;
let issuer: string;
let service: HttpService;
const logged: string[] = [];

@Module({})
class TestModule {}

async function startInstitution(callbackUrl: string): Promise<void> {
  institution = createServer();
  await new Promise<void>((resolve) => institution.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(institution.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'beamtime',
        client_secret: 'institution-keeps-this',
        redirect_uris: [callbackUrl],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['only for this test'] },
    pkce: { required: () => true },
    findAccount: (_: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, ...accounts[id] }),
    }),
  });
  institution.on('request', provider.callback());
}

beforeAll(async () => {
  database = await freshDatabase();
  const port = await freePort();
  await startInstitution(`http://127.0.0.1:${port}/auth/oidc/callback`);
  const redis = redisForTest();
  const config = loadConfig({
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    BEAMTIME_QUEUE_PREFIX: redis.prefix.replaceAll(':', '-'),
    BEAMTIME_SECRET: 'x'.repeat(32),
    BEAMTIME_PUBLIC_URL: `http://127.0.0.1:${port}`,
    OIDC_ISSUER: issuer,
    OIDC_CLIENT_ID: 'beamtime',
    OIDC_CLIENT_SECRET: 'institution-keeps-this',
    OIDC_SECRETARIAT: 'other@x.example, Sam@Consortium.example',
  });
  const platform = PlatformModule.register({
    service: 'test',
    version: '0',
    config,
    schemas: [identitySchema],
  });
  const log = createLogger('test', 'trace', { write: (line: string) => void logged.push(line) });
  platform.providers = [
    ...(platform.providers ?? []).filter((one) => !('provide' in one && one.provide === LOGGER)),
    { provide: LOGGER, useValue: log },
  ];
  const root = { module: TestModule, imports: [platform, IdentityModule, IdentityControllersModule] };
  service = await serveHttp(root, { title: 'test', version: '0', host: '127.0.0.1', port });
});

afterAll(async () => {
  await service?.close();
  institution?.closeAllConnections();
  institution?.close();
  await database?.drop();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** As much of a browser as a login needs: cookies by site and path, redirects, and forms. */
class Browser {
  private readonly cookies = new Map<string, { site: string; path: string; value: string }>();

  async get(url: string, headers: Record<string, string> = {}): Promise<{ url: string; response: Response }> {
    return this.go(url, { headers });
  }

  async post(url: string, form: Record<string, string>): Promise<{ url: string; response: Response }> {
    return this.go(url, { method: 'POST', body: new URLSearchParams(form) });
  }

  cookie(name: string): string | undefined {
    return [...this.cookies].find(([key]) => key.endsWith(` ${name}`))?.[1].value;
  }

  private async go(first: string, init: RequestInit): Promise<{ url: string; response: Response }> {
    let url = first;
    let response = await this.request(url, init);
    for (let hops = 0; response.status >= 301 && response.status <= 303 && hops < 10; hops++) {
      url = new URL(present(response.headers.get('location'), 'location'), url).href;
      if (url.startsWith('http://127.0.0.1:9/')) return { url, response };
      response = await this.request(url, { headers: init.headers ?? {} });
    }
    return { url, response };
  }

  private async request(url: string, init: RequestInit): Promise<Response> {
    const { host, pathname } = new URL(url);
    const sent = [...this.cookies]
      .filter(([, one]) => one.site === host && pathname.startsWith(one.path))
      .map(([key, one]) => `${key.slice(key.lastIndexOf(' ') + 1)}=${one.value}`);
    const headers = { ...init.headers, cookie: sent.join('; ') };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
      const at = pair.indexOf('=');
      const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? '/';
      const key = `${host} ${path} ${pair.slice(0, at)}`;
      if (pair.slice(at + 1) === '') this.cookies.delete(key);
      else this.cookies.set(key, { site: host, path, value: pair.slice(at + 1) });
    }
    return response;
  }
}

/** Goes through the institution's own pages: the login form, then the consent. */
async function logInAt(browser: Browser, startUrl: string, account: string) {
  const form = await browser.get(startUrl);
  expect(form.url.startsWith(`${issuer}/interaction/`)).toBe(true);
  const consent = await browser.post(form.url, { prompt: 'login', login: account, password: 'any' });
  if (!consent.url.startsWith(`${issuer}/interaction/`)) return consent;
  return browser.post(consent.url, { prompt: 'consent' });
}

const startUrl = (query = '') => `${service.url}/auth/oidc/start${query}`;

async function whoIn(browser: Browser): Promise<unknown> {
  const cookie = `beamtime_session=${present(browser.cookie('beamtime_session'), 'a session cookie')}`;
  return (await fetch(`${service.url}/auth/whoami`, { headers: { cookie } })).json();
}

describe('the login at the home institution', () => {
  it('brings the browser back to where it was, logged in', async () => {
    expect(await createApiClient(service.url).call(loginWays, {})).toEqual({
      oidc: { issuer },
      local: false,
    });
    const browser = new Browser();
    const end = await logInAt(browser, startUrl('?returnTo=/openapi.json'), 'ada');
    expect(end.url).toBe(`${service.url}/openapi.json`);
    expect(end.response.status).toBe(200);
    expect(browser.cookie('beamtime_login')).toBeUndefined();
    expect(await whoIn(browser)).toMatchObject({
      name: 'Ada Lovelace',
      email: 'ada@institute.example',
      assurance: 'oidc',
      memberships: [],
    });
  });

  it('asks with PKCE, state and nonce, and carries nothing of them in the clear', async () => {
    const response = await fetch(startUrl(), { redirect: 'manual' });
    const asked = new URL(present(response.headers.get('location'), 'location')).searchParams;
    expect(asked.get('code_challenge_method')).toBe('S256');
    for (const name of ['code_challenge', 'state', 'nonce'])
      expect(asked.get(name)).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const cookie = present(response.headers.getSetCookie()[0], 'cookie');
    expect(cookie).toMatch(/HttpOnly; SameSite=Lax/);
    expect(cookie).not.toContain(present(asked.get('state'), 'state'));
  });

  it('gives the secretariat to the addresses that the operator named, at their first login', async () => {
    const browser = new Browser();
    await logInAt(browser, startUrl(), 'sam');
    expect(await whoIn(browser)).toMatchObject({ memberships: [{ labId: null, role: 'secretariat' }] });
  });

  it('refuses another account of the institution that took over an address', async () => {
    const end = await logInAt(new Browser(), startUrl(), 'mallory');
    expect(end.response.status).toBe(403);
    expect(await end.response.json()).toMatchObject({ code: 'auth.forbidden' });
  });

  it('refuses an address that the institution has not verified', async () => {
    const end = await logInAt(new Browser(), startUrl(), 'nobody');
    expect(await end.response.json()).toMatchObject({ status: 403, code: 'auth.email-unverified' });
  });

  it('binds what was granted to the address before', async () => {
    const sam = new Browser();
    await logInAt(sam, startUrl(), 'sam');
    const secretariat = createApiClient(service.url, sam.cookie('beamtime_session'));
    await secretariat.call(createLab, { body: { slug: 'institute', name: 'Institute' } });
    await secretariat.call(grantLabRole, {
      params: { lab: 'institute' },
      body: { email: 'ada@institute.example', role: 'delegate' },
    });
    const ada = new Browser();
    await logInAt(ada, startUrl(), 'ada');
    expect(await whoIn(ada)).toMatchObject({ memberships: [{ labSlug: 'institute', role: 'delegate' }] });
  });

  it('tells a person who declined that the institution did not log them in', async () => {
    const browser = new Browser();
    const form = await browser.get(startUrl());
    const end = await browser.get(`${form.url}/abort`);
    expect(await end.response.json()).toMatchObject({ status: 401, code: 'auth.invalid-credentials' });
  });

  it('shows a person whose login failed a page, and the command line its reason', async () => {
    const browser = new Browser();
    const form = await browser.get(startUrl());
    const end = await browser.get(`${form.url}/abort`, { accept: 'text/html,*/*;q=0.8' });
    expect(end.response.status).toBe(401);
    expect(await end.response.text()).toMatch(/<h1>.*Log in again/s);
    const query = `?redirect=${encodeURIComponent('http://127.0.0.1:9/callback')}&challenge=${'c'.repeat(43)}&state=mine`;
    const back = await logInAt(new Browser(), startUrl(query), 'nobody');
    expect(Object.fromEntries(new URL(back.url).searchParams)).toMatchObject({
      error: 'auth.email-unverified',
      state: 'mine',
    });
  });

  it('refuses an answer that belongs to no login, to another one, or that was used already', async () => {
    const callback = `${service.url}/auth/oidc/callback`;
    for (const query of ['', '?code=x&state=y', '?error=access_denied', '?code=x&code=y'])
      expect([400, 401]).toContain((await fetch(callback + query)).status);
    const [one, other] = [new Browser(), new Browser()];
    await one.get(startUrl());
    await other.get(startUrl());
    const end = await one.get(
      `${callback}?code=stolen&state=${'s'.repeat(43)}&iss=${encodeURIComponent(issuer)}`,
    );
    expect(await end.response.json()).toMatchObject({ code: 'auth.invalid-credentials' });
  });

  it('sends the browser to no foreign page afterwards', async () => {
    for (const returnTo of [
      'https://evil.example/',
      '//evil.example',
      '/\\evil.example',
      'javascript:alert(1)',
    ])
      expect(
        (await fetch(startUrl(`?returnTo=${encodeURIComponent(returnTo)}`), { redirect: 'manual' })).status,
      ).toBe(400);
    for (const redirect of [
      'http://evil.example:80/',
      'http://127.0.0.1.evil.example:80/',
      'https://127.0.0.1:80/',
    ]) {
      const query = `?redirect=${encodeURIComponent(redirect)}&challenge=${'c'.repeat(43)}`;
      expect((await fetch(startUrl(query), { redirect: 'manual' })).status).toBe(400);
    }
  });
});

describe('the login of the command line', () => {
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = `?redirect=${encodeURIComponent('http://127.0.0.1:9/callback')}&challenge=${challenge}&state=mine`;

  async function codeOf(account: string): Promise<string> {
    const end = await logInAt(new Browser(), startUrl(query), account);
    const back = new URL(end.url);
    expect(back.origin).toBe('http://127.0.0.1:9');
    expect(back.searchParams.get('state')).toBe('mine');
    return present(back.searchParams.get('code'), 'a code');
  }

  it('ends at its loopback address with a code that is worth a session once', async () => {
    const client = createApiClient(service.url);
    const code = await codeOf('ada');
    const session = await client.call(exchangeLoginCode, { body: { code, verifier } });
    expect(await client.as(session.token).call(whoAmI, {})).toMatchObject({
      name: 'Ada Lovelace',
      assurance: 'oidc',
    });
    await expect(client.call(exchangeLoginCode, { body: { code, verifier } })).rejects.toThrow(ProblemError);
  });

  it('gives nothing to whoever sees the code without the verifier', async () => {
    const client = createApiClient(service.url);
    const code = await codeOf('ada');
    const wrong = client.call(exchangeLoginCode, { body: { code, verifier: 'w'.repeat(43) } });
    await expect(wrong).rejects.toThrow(/auth.invalid-credentials/);
    await expect(client.call(exchangeLoginCode, { body: { code, verifier } })).rejects.toThrow(ProblemError);
  });
});

it('leaves no code, token or secret in the log, however fine it is', () => {
  const text = logged.join('\n');
  expect(logged.length).toBeGreaterThan(20);
  expect(text).not.toMatch(/bt[skac]_[A-Za-z0-9_-]{20}|institution-keeps-this|code=|eyJ[A-Za-z0-9]/);
});

it('answers 503 while the institution is down, and the facility starts all the same', async () => {
  const redis = redisForTest();
  const config = loadConfig({
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    BEAMTIME_QUEUE_PREFIX: redis.prefix.replaceAll(':', '-'),
    BEAMTIME_SECRET: 'x'.repeat(32),
    BEAMTIME_LOG_LEVEL: 'silent',
    OIDC_ISSUER: 'http://127.0.0.1:9',
    OIDC_CLIENT_ID: 'beamtime',
  });
  const platform = PlatformModule.register({
    service: 'test',
    version: '0',
    config,
    schemas: [identitySchema],
  });
  const root = { module: TestModule, imports: [platform, IdentityModule, IdentityControllersModule] };
  const own = await serveHttp(root, { title: 'test', version: '0', host: '127.0.0.1', port: 0 });
  try {
    const response = await fetch(`${own.url}/auth/oidc/start`, { redirect: 'manual' });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'server.unavailable' });
  } finally {
    await own.close();
  }
});
