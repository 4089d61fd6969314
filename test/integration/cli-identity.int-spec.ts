import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GovernanceServiceModule, governanceSchemas } from '@beamtime/governance-app';
import { IdentityModule } from '@beamtime/identity';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../apps/cli/bin/beamtime.mjs', import.meta.url));
let folder: string;
let service: TestService;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamtime-cli-'));
  service = await serviceForTest({
    module: GovernanceServiceModule,
    schemas: governanceSchemas,
    identity: IdentityModule,
    settings: {
      BEAMTIME_EMBEDDED: 'true',
      BEAMTIME_STATE_DIR: join(folder, '.beamtime'),
      BEAMTIME_LOG_LEVEL: 'error',
    },
  });
  writeFileSync(join(folder, '.beamtime', 'facility.json'), JSON.stringify({ url: service.url }));
});

afterAll(async () => {
  await service?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Types a command in the folder where the facility runs, into the program as it was built. */
function beamtime(...argv: string[]): Promise<{ exitCode: number; out: string; err: string }> {
  const env = { PATH: process.env['PATH'], BEAMTIME_HOME: join(folder, 'home') };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...argv], { cwd: folder, env }, (_, out, err) =>
      resolve({ exitCode: child.exitCode ?? -1, out, err }),
    );
  });
}

async function json(...argv: string[]): Promise<Record<string, unknown>> {
  const { exitCode, out, err } = await beamtime(...argv, '--json');
  expect({ argv, exitCode, err }).toEqual({ argv, exitCode: 0, err: '' });
  return JSON.parse(out) as Record<string, unknown>;
}

describe('the command line at a facility on this machine', () => {
  it('finds the facility of the folder, and says so to whom is not logged in', async () => {
    expect(await json('status')).toMatchObject({ url: service.url, status: 'ok', who: null });
    const refused = await beamtime('whoami');
    expect(refused).toMatchObject({ exitCode: 3, out: '' });
    expect(refused.err).toContain('beamtime login');
    expect(await beamtime('login')).toMatchObject({ exitCode: 2 });
  });

  it('logs the first secretariat in, which admits a lab and names its delegate', async () => {
    const { exitCode, out } = await beamtime(
      'login',
      '--local',
      '--as',
      'sam@c.example',
      '--secretariat',
      '--name',
      'Sam',
    );
    expect(exitCode).toBe(0);
    expect(out).toContain('secretariat');
    expect(out).not.toMatch(/bts_/);
    expect(statSync(join(folder, 'home', 'credentials.json')).mode & 0o777).toBe(0o600);
    expect((await beamtime('labs', 'create', 'lab-a', 'Lab A', '--weight', '3')).exitCode).toBe(0);
    expect(await json('labs', 'show', 'lab-a')).toMatchObject({ name: 'Lab A', contributionWeight: 3 });
    expect(await json('labs', 'change', 'lab-a', '--arrears', 'yes')).toMatchObject({ inArrears: true });
    const granted = await beamtime('members', 'grant', 'dora@a.example', 'delegate', '--lab', 'lab-a');
    expect(granted.out).toBe('dora is delegate in lab-a, from the first login on\n');
  });

  it('keeps the logins of several people apart', async () => {
    await json('login', '--local', '--as', 'dora@a.example');
    expect(await json('whoami')).toMatchObject({
      email: 'dora@a.example',
      memberships: [{ role: 'delegate' }],
    });
    expect(await json('whoami', '--as', 'sam@c.example')).toMatchObject({ name: 'Sam' });
    expect(await beamtime('whoami', '--as', 'nobody@a.example')).toMatchObject({ exitCode: 2 });
    await json('members', 'grant', 'rita@a.example', 'researcher', '--lab', 'lab-a');
    expect((await beamtime('members', 'list', '--lab', 'lab-a')).out).toMatch(
      /rita\s+researcher\s+rita@a.example\s+invited/,
    );
    await json('members', 'revoke', 'rita@a.example', 'researcher', '--lab', 'lab-a');
    expect((await beamtime('members', 'list', '--lab', 'lab-a')).out).not.toContain('rita');
    expect((await beamtime('labs', 'create', 'lab-b', 'Lab B')).exitCode).toBe(3);
    expect((await beamtime('members', 'grant', 'x@a.example', 'researcher')).exitCode).toBe(2);
  });

  it('exports the audit log and checks its chain without the facility', async () => {
    const file = join(folder, 'audit.jsonl');
    // Entries are sealed into the chain shortly after they are written.
    let head = { entries: 0, hash: '' };
    for (let tries = 0; tries < 50 && head.entries < 7; tries++) {
      ({ head } = (await json('audit', 'verify')) as { head: typeof head });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(head.entries).toBeGreaterThanOrEqual(7);
    expect((await beamtime('audit', 'export', '--out', file)).exitCode).toBe(0);
    expect(await json('audit', 'verify', '--file', file, '--head', head.hash)).toMatchObject({
      intact: true,
    });
    writeFileSync(file, readFileSync(file, 'utf8').replace('"role":"delegate"', '"role":"deputy"'));
    const broken = await beamtime('audit', 'verify', '--file', file);
    expect(broken.exitCode).toBe(1);
    expect(broken.err).toMatch(/broken at entry \d+/);
    writeFileSync(file, 'not json\n');
    expect((await beamtime('audit', 'verify', '--file', file)).exitCode).toBe(2);
  });

  it('logs out of the login in use and falls back to the other', async () => {
    expect((await beamtime('logout')).out).toBe('Logged out\n');
    expect(await json('whoami')).toMatchObject({ name: 'Sam' });
    await json('logout', '--everywhere');
    expect((await beamtime('whoami')).exitCode).toBe(3);
  });

  it('tells that a facility is not there, and which it tried', async () => {
    const gone = await beamtime('labs', 'list', '--url', 'http://127.0.0.1:9');
    expect(gone).toMatchObject({ exitCode: 4, out: '' });
    expect(gone.err).toContain('http://127.0.0.1:9');
  });
});
