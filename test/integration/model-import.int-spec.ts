import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ModelView } from '@beamtime/contracts';
import { GatewayServiceModule, gatewaySchemas } from '@beamtime/gateway-app';
import { GovernanceServiceModule, governanceSchemas } from '@beamtime/governance-app';
import { IdentityModule } from '@beamtime/identity';
import { serviceForTest, type TestService } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../apps/cli/bin/beamtime.mjs', import.meta.url));
let folder: string;
let service: TestService;
let token: string;

class Services {}

/** Above the size from which the hub sends a client to the object store. */
const weights = (byte: number): Buffer => Buffer.alloc(1_500_000, byte);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamtime-import-'));
  service = await serviceForTest({
    module: { module: Services, imports: [GovernanceServiceModule, GatewayServiceModule] },
    schemas: [...new Set([...governanceSchemas, ...gatewaySchemas])],
    identity: IdentityModule,
    settings: { BEAMTIME_EMBEDDED: 'true', BEAMTIME_STATE_DIR: join(folder, '.beamtime') },
  });
  writeFileSync(join(folder, '.beamtime', 'facility.json'), JSON.stringify({ url: service.url }));
  const typed = [
    ['login', '--local', '--as', 'sam@c.example', '--secretariat'],
    ['labs', 'create', 'lab-a', 'Lab A'],
    ['members', 'grant', 'ada@a.example', 'researcher', '--lab', 'lab-a'],
  ];
  for (const argv of typed) expect(await beamtime(argv)).toMatchObject({ exitCode: 0 });
  expect(await beamtime(['login', '--local', '--as', 'ada@a.example'])).toMatchObject({ exitCode: 0 });
  token = (await beamtime(['login', '--local', '--as', 'ada@a.example', '--print-token'])).out.trim();
  for (const [step, byte] of [
    ['step0', 1],
    ['step8', 2],
  ] as const) {
    const revision = join(folder, 'model', step);
    mkdirSync(revision, { recursive: true });
    writeFileSync(
      join(revision, 'config.json'),
      JSON.stringify({
        model_type: 'gpt2',
        architectures: ['GPT2LMHeadModel'],
        n_embd: 48,
        n_layer: 2,
        n_head: 4,
        n_positions: 64,
        vocab_size: 257,
        n_inner: null,
      }),
    );
    writeFileSync(join(revision, 'tokenizer.json'), '{"version": "1.0"}');
    writeFileSync(join(revision, 'model.safetensors'), weights(byte));
  }
  writeFileSync(join(folder, 'factors.yaml'), 'language: deu\nscript: Latn\nlearningRate: 0.001\n');
});

afterAll(async () => {
  await service?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Types a command into the program as it was built; the facility is also the hub that it imports from. */
function beamtime(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ exitCode: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, ...argv],
      {
        cwd: folder,
        env: {
          PATH: process.env['PATH'],
          BEAMTIME_HOME: join(folder, 'home'),
          HF_ENDPOINT: service.url,
          XDG_CACHE_HOME: join(folder, 'cache'),
          ...env,
        },
      },
      (_, out, err) => resolve({ exitCode: child.exitCode ?? -1, out, err }),
    );
  });
}

async function imported(argv: readonly string[], env?: Readonly<Record<string, string>>): Promise<ModelView> {
  const { exitCode, out, err } = await beamtime(['model', 'import', ...argv, '--json'], env);
  expect({ argv, exitCode, err }).toEqual({ argv, exitCode: 0, err: '' });
  return JSON.parse(out) as ModelView;
}

describe('importing a model', () => {
  it('from a folder records what its files and the factors file say, and nothing else', async () => {
    const model = await imported(['model', '--name', 'from-folder', '--factors', 'factors.yaml']);
    expect(model.factors).toMatchObject({
      family: 'gpt2',
      layers: 2,
      hiddenSize: 48,
      heads: 4,
      intermediateSize: 192,
      contextTokens: 64,
      objective: 'causal',
      language: 'deu',
      learningRate: 0.001,
      parameters: null,
      initialisationSeed: null,
      schedule: null,
    });
    expect(model.factors.tokenizerSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('by its hub id brings every revision asked for, with equal weights and where it comes from', async () => {
    const all = await imported(['beamtime/from-folder', '--name', 'all', '--revisions', 'step0', 'main=8']);
    expect(all).toMatchObject({ revisions: 2, lastStep: 8, factors: { family: 'gpt2', language: null } });
    const { out } = await beamtime(['model', 'show', 'all', '--json']);
    expect(JSON.parse(out)).toMatchObject({
      revisions: [{ weightsSha256: sha256(weights(1)) }, { weightsSha256: sha256(weights(2)) }],
      provenance: {
        origin: 'import',
        source: expect.stringMatching(/\/beamtime\/from-folder@[0-9a-f]{40}$/),
      },
    });
  });

  it('that is private needs a token at the hub', async () => {
    const lab = ['--private', '--lab', 'lab-a'];
    await imported(['model', '--name', 'secret', ...lab]);
    const byId = ['beamtime/secret', '--name', 'secret-again', '--all-revisions', ...lab];
    const refused = await beamtime(['model', 'import', ...byId]);
    expect(refused).toMatchObject({ exitCode: 3, err: expect.stringContaining('set HF_TOKEN') });
    expect(await imported(byId, { HF_TOKEN: token })).toMatchObject({ visibility: 'private', revisions: 2 });
  });
});
