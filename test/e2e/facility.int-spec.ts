import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProblemError } from '@beamtime/contracts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { noRunner, type SuiteChange, SuiteJourney } from './suite-journey.js';

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

  describe.skipIf(noRunner !== null)(
    'trains and evaluates a suite with the real runner',
    { timeout: 500_000 },
    () => {
      let journey: SuiteJourney;
      beforeAll(async () => {
        journey = new SuiteJourney(await logInByFile(), url, folder);
        await journey.begin();
      }, 120_000);
      afterAll(() => journey.end());

      it('whose omitted options are in the catalogue as the runs resolved them', async () => {
        const planned = await journey.model('omitted-neox-s-eng-s1');
        expect(planned).toMatchObject({ state: 'planned', factors: { beta2: null, gradientClip: null } });
        await journey.train();
        for (const [name, size, layers, seed] of [
          ['omitted-neox-s-eng-s1', 's', 1, 1],
          ['omitted-neox-s-eng-s2', 's', 1, 2],
          ['omitted-neox-m-eng-s2', 'm', 2, 2],
        ] as const) {
          const { state, lastStep, factors, provenance } = await journey.model(name);
          expect([name, state, lastStep]).toEqual([name, 'ready', 40]);
          const used = {
            schedule: 'cosine',
            warmupSteps: 0,
            weightDecay: 0.1,
            minimumLearningRateRatio: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            gradientClip: 1,
            dtype: 'float32',
          };
          const shape = {
            layers,
            intermediateSize: 64,
            vocabSize: 258,
            tieEmbeddings: false,
            objective: 'causal',
          };
          expect(factors).toMatchObject({ ...used, ...shape, size, tokenizerKind: 'byte' });
          expect(factors).toMatchObject({ initialisationSeed: seed, dataOrderSeed: 1, tokens: 40 * 4 * 32 });
          expect(provenance.resolved).toMatchObject({ training: used, model: shape });
        }
      });

      it('whose models are neighbours by one factor, while sets that mix two are named as confounded', async () => {
        expect(await journey.neighbours('omitted-neox-s-eng-s2')).toEqual([
          ['omitted-neox-m-eng-s2', 'ready', 'size', 's', 'm'],
          ['omitted-neox-s-eng-s1', 'ready', 'initialisationSeed', '2', '1'],
        ]);
        const mixed = ['initialisationSeed', 'size'];
        const trained = await journey.confounding(['omitted-neox-s-eng-s1', 'omitted-neox-m-eng-s2']);
        expect([...trained.unanswerable].sort()).toEqual(mixed);
        const designed = (
          await journey.plan([
            { size: 's', initialisationSeed: 2 },
            { size: 'm', initialisationSeed: 1 },
          ])
        ).confounding;
        expect([...designed.unanswerable].sort()).toEqual(mixed);
        expect(designed.factors.find((one) => one.factor === 'size')?.confoundedWith).toEqual([
          'initialisationSeed',
        ]);
      });

      it('refuses a bad design by the name of its field, before there is a job', async () => {
        const refused = async (change: SuiteChange) => {
          try {
            await journey.plan([], change);
          } catch (error) {
            if (error instanceof ProblemError) return error.problem.detail;
          }
          return 'not refused';
        };
        const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
        const s = { name: 's', layers: 1, hiddenSize: 16, heads: 2 };
        expect(await refused({ family: ['gpt-9' as 'gpt2'] })).toMatch(/factors\.family/);
        expect(await refused({ size: [{ ...s, heads: 3 }] })).toMatch(/^factors\.size\[0\]\.heads: 3 heads/);
        expect(
          await refused({ initialisationSeed: hundred, dataOrderSeed: hundred, steps: hundred }),
        ).toMatch(/^factors: the grid has 2,000,000 cells/);
        expect(await journey.trainTooManyTokens()).toMatch(
          /^factors\.tokenizer\[0\]\.vocabSize: 999,999 tokens/,
        );
      });

      it('and one of them on minimal pairs at every revision, shown with interval and receipt', async () => {
        const name = 'omitted-neox-s-eng-s1';
        const found = await journey.evaluate(name);
        expect(found.map((one) => one.revision)).toEqual(['step0', 'step40']);
        const { weightsSha256 } = await journey.lastRevision(name);
        for (const { results, receipt } of found) {
          expect(results.map((one) => one.task).sort()).toEqual([
            'bitsPerByte',
            'headScores',
            'minimalPairs',
          ]);
          expect(receipt).toMatchObject({
            dtype: 'float32',
            device: expect.stringMatching(/^cpu/),
            threads: 1,
          });
        }
        expect(found[1]?.receipt?.weightsSha256).toBe(weightsSha256);
        // After forty steps the bytes of the text are likelier than bytes that it never has.
        expect(found[1]?.results.find((one) => one.task === 'minimalPairs')).toMatchObject({
          pairs: 20,
          accuracy: { value: 1, low: 1, high: 1, level: 0.95 },
        });
        const said = journey.beamtime(['model', 'evaluations', name]);
        expect(said).toMatch(
          /step40 +accuracy +agreement \(eng\) +1\.0000 +1\.0000 to 1\.0000 \(95 %\) +20 pairs/,
        );
        expect(said).toContain(`weights sha256, step40  ${weightsSha256}`);
        expect(journey.beamtime(['model', 'evaluations', name], false)).toMatch(/accuracy +cor_\w+ \(eng\)/);
      });
    },
  );

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
