import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const program = fileURLToPath(new URL('../../apps/facility/dist/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'beamtime-facility-'));
// As root, PostgreSQL runs as another user, who has to pass through.
chmodSync(folder, 0o755);
const addressFile = join(folder, 'facility.json');
const env = {
  PATH: process.env['PATH'],
  HOME: folder,
  BEAMTIME_STATE_DIR: folder,
  PORT: '0',
  BEAMTIME_LOG_LEVEL: 'silent',
};

let facility: ChildProcess;
let url: string;

interface Operation {
  readonly operationId: string;
  readonly security?: readonly Record<string, unknown>[];
}

/** The program as it is delivered, with a PostgreSQL and a Redis of its own in the temporary folder. */
async function start(): Promise<void> {
  rmSync(addressFile, { force: true });
  facility = spawn(process.execPath, [program], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  await vi.waitUntil(() => existsSync(addressFile) || facility.exitCode !== null, {
    timeout: 60_000,
    interval: 100,
  });
  url = (JSON.parse(readFileSync(addressFile, 'utf8')) as { url: string }).url;
}

async function end(signal: NodeJS.Signals): Promise<number | null> {
  const ended = once(facility, 'exit') as Promise<[number | null]>;
  facility.kill(signal);
  return (await ended)[0];
}

/** Every process that has the state folder in its command line or works in it. */
function processesOfFolder(): string[] {
  return execFileSync('ps', ['-axo', 'pid=,args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(folder));
}

function logIn(secret: string): Promise<Response> {
  return fetch(`${url}/auth/local`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'ada@lab-a.example', secretariat: true, secret }),
  });
}

async function logInByFile(): Promise<string> {
  const answer = await logIn(readFileSync(join(folder, 'local-login-secret'), 'utf8').trim());
  expect(answer.ok).toBe(true);
  return ((await answer.json()) as { token: string }).token;
}

beforeAll(start, 90_000);
afterAll(async () => {
  if (facility.exitCode === null && facility.signalCode === null) await end('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

describe('the facility as one program', () => {
  it('answers with its pages, its documents and its state', async () => {
    const expected = { '/': 'text/html', '/docs/': 'text/html', '/openapi.json': 'json', '/status': 'json' };
    for (const [path, type] of Object.entries(expected)) {
      const answer = await fetch(`${url}${path}`);
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([
        path,
        200,
        expect.stringContaining(type),
      ]);
    }
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: 'ok' });
  });

  it('declares who may call each route, and lets nobody else in', async () => {
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, Operation>>;
    };
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
    expect(operations.length).toBeGreaterThan(80);
    for (const { path, method, operation } of operations) {
      expect(operation.security, operation.operationId).toBeDefined();
      if (operation.security?.length === 0) continue;
      const answer = await fetch(url + path.replace(/\{[^}]+\}/g, 'x'), { method: method.toUpperCase() });
      await answer.arrayBuffer();
      expect([operation.operationId, answer.status]).toEqual([operation.operationId, 401]);
    }
  });

  it('logs in locally by the secret of its folder alone', async () => {
    expect((await logIn('guessed')).status).toBe(401);
    expect(await logInByFile()).toMatch(/\S/);
  });

  it('refuses a second facility on the same folder in one sentence', async () => {
    const second = spawn(process.execPath, [program], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    second.stderr.on('data', (part: Buffer) => {
      said += String(part);
    });
    const [code] = (await once(second, 'close')) as [number];
    expect(said.trim()).toMatch(/^[^\n]* is in use by process \d+: [^\n]*$/);
    expect(code).toBe(78);
  });

  it('keeps what was decided when it is killed, and leaves no process behind when it is stopped', async () => {
    const token = await logInByFile();
    const authorization = `Bearer ${token}`;
    const made = await fetch(`${url}/labs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ slug: 'lab-a', name: 'Lab A' }),
    });
    expect(made.ok).toBe(true);
    await end('SIGKILL');
    await start();
    expect(await (await fetch(`${url}/labs`)).text()).toContain('"lab-a"');
    expect((await fetch(`${url}/auth/whoami`, { headers: { authorization } })).status).toBe(200);
    expect(await end('SIGTERM')).toBe(0);
    expect(processesOfFolder()).toEqual([]);
  });
});
