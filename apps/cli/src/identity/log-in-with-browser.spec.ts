import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { areas } from '../areas.js';
import { runCli } from '../core/run-cli.js';

/** The facility's half of the login, without an institution: the real one is tested with its service. */
let facility: Server;
let url: string;
const token = `bts_${'t'.repeat(43)}`;

beforeEach(async () => {
  const challenges = new Map<string, string>();
  facility = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://facility');
    const json = (value: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (pathname === '/auth/ways') json({ oidc: { issuer: 'https://institute.example' }, local: false });
    else if (pathname === '/auth/oidc/start') {
      challenges.set('the-code', searchParams.get('challenge') ?? '');
      const back = `${searchParams.get('redirect')}?code=the-code&state=${searchParams.get('state')}`;
      response.writeHead(302, { location: back }).end();
    } else {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        const { code, verifier } = JSON.parse(body) as { code: string; verifier: string };
        const fits = createHash('sha256').update(verifier).digest('base64url') === challenges.get(code);
        const who = {
          kind: 'person',
          personId: `per_${'0'.repeat(26)}`,
          name: 'Ada',
          email: 'ada@institute.example',
          assurance: 'oidc',
          memberships: [],
        };
        if (fits) json({ token, expiresAt: '2030-01-01T00:00:00Z', who });
        else json({ error: 'verifier' }, 401);
      });
    }
  });
  await new Promise<void>((resolve) => facility.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(facility.address() as AddressInfo).port}`;
});

afterEach(() => {
  facility.closeAllConnections();
  facility.close();
});

async function logIn(browse: (url: string) => void) {
  const said = { out: '', err: '' };
  const exitCode = await runCli(['login', '--print-token', '--url', url], '0', areas, {
    env: { BEAMTIME_HOME: join(tmpdir(), 'beamtime-unused') },
    cwd: tmpdir(),
    stdout: (text) => (said.out += text),
    stderr: { isTerminal: false, columns: 100, write: (text) => (said.err += text) },
    openBrowser: browse,
  });
  return { exitCode, ...said };
}

describe('the login in the browser', () => {
  it('ends with a session once the browser comes back to the loopback address', async () => {
    const pages: string[] = [];
    const { exitCode, out, err } = await logIn((page) => {
      void fetch(page).then(async (response) => pages.push(await response.text()));
    });
    expect({ exitCode, out }).toEqual({ exitCode: 0, out: `${token}\n` });
    expect(err).toContain(`${url}/auth/oidc/start?`);
    expect(pages.join()).toContain('You are logged in');
  });

  it('ends at once, with the reason, when the institution refuses', async () => {
    const { exitCode, out, err } = await logIn((page) => {
      const { searchParams } = new URL(page);
      const told = `error=auth.email-unverified&error_description=Verify+it+there&state=${searchParams.get('state')}`;
      void fetch(`${searchParams.get('redirect')}?${told}`);
    });
    expect({ exitCode, out }).toEqual({ exitCode: 3, out: '' });
    expect(err).toContain('error: Verify it there');
  });

  it('is not fooled by another page that calls the loopback address without the state', async () => {
    const statuses: number[] = [];
    const { out } = await logIn((page) => {
      const redirect = new URL(page).searchParams.get('redirect') ?? '';
      void (async () => {
        for (const query of ['?code=evil', '?code=evil&state=guess', ''])
          statuses.push((await fetch(redirect + query)).status);
        await fetch(page);
      })();
    });
    expect(statuses).toEqual([404, 404, 404]);
    expect(out).toBe(`${token}\n`);
  });
});
