import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const rules = createRequire(import.meta.url)(join(root, '.dependency-cruiser.cjs')) as {
  forbidden: { name: string }[];
};

/** One forbidden import each: the rule that must catch it, where it stands, and what it imports. */
const seeds: readonly [rule: string, file: string, imported: string][] = [
  ['no-cycles', 'libs/platform/src/cycle-a.ts', './cycle-b.js'],
  ['domain-is-pure', 'libs/access/src/domain/reads-clock.ts', 'node:perf_hooks'],
  ['domain-is-pure', 'libs/access/src/domain/knows-nest.ts', '@nestjs/common'],
  ['domain-is-pure', 'libs/access/src/domain/knows-wires.ts', '@beamtime/contracts'],
  ['domain-is-pure', 'libs/access/src/domain/looks-out.ts', '../ports.js'],
  ['kernel-imports-nothing', 'libs/kernel/src/hashes.ts', 'node:crypto'],
  ['suites-are-pure', 'libs/suites/src/reads-files.ts', 'node:fs'],
  ['contracts-are-browser-safe', 'libs/contracts/src/node-only.ts', 'node:http'],
  ['contexts-do-not-know-each-other', 'libs/access/src/asks-governance.ts', '@beamtime/governance'],
  ['enter-by-the-index', 'apps/access/src/back-door.ts', '../../../libs/access/src/ports.js'],
  ['testing-only-from-tests', 'libs/access/src/leans-on-fakes.ts', '@beamtime/catalogue/testing'],
  ['testing-only-from-tests', 'apps/access/src/leans-on-kit.ts', '@beamtime/testkit'],
  ['apps-are-leaves', 'apps/gateway/src/calls-access.ts', '@beamtime/access-app'],
  ['facility-composes-the-services', 'apps/facility/src/too-deep.ts', '../../access/src/back-door.js'],
  ['facility-composes-the-services', 'apps/facility/src/wrong-app.ts', '../../agent/src/main.js'],
  ['outside-never-reaches-the-control-plane', 'apps/agent/src/asks-database.ts', 'pg'],
  ['outside-never-reaches-the-control-plane', 'apps/agent/src/through-another.ts', './innocent.js'],
  ['outside-never-reaches-the-control-plane', 'apps/console/src/knows-access.ts', '@beamtime/access'],
  ['outside-never-reaches-the-control-plane', 'apps/cli/src/all-of-governance.ts', '@beamtime/governance'],
  ['outside-never-reaches-the-control-plane', 'libs/executors/src/queues.ts', 'bullmq'],
  ['recount-only-by-its-own-door', 'apps/gateway/src/recounts.ts', '@beamtime/governance/tally'],
  ['replay-only-by-its-own-door', 'apps/scheduler/src/foresees.ts', '@beamtime/scheduling/simulate'],
  ['replay-only-by-its-own-door', 'libs/scheduling/src/foresees.ts', './simulation/replays.js'],
  ['simulation-is-pure', 'libs/scheduling/src/simulation/reads-files.ts', 'node:fs'],
  ['simulation-is-pure', 'libs/scheduling/src/simulation/loads.ts', '../cycle/load-snapshot.js'],
  ['verifier-shares-nothing-with-the-rules', 'libs/governance/src/verify/borrows.ts', '../domain/count.js'],
  ['drivers-only-in-platform', 'libs/access/src/postgres/raw.ts', 'pg'],
  ['drivers-only-in-platform', 'apps/scheduler/src/caches.ts', 'ioredis'],
  ['drivers-only-in-platform', 'libs/catalogue/src/stores.ts', '@aws-sdk/client-s3'],
  ['typeorm-only-beside-the-database', 'libs/access/src/uses-rows.ts', 'typeorm'],
  [
    'runner-shares-only-schemas',
    'libs/contracts/src/reads-runner.ts',
    '../../../apps/runner/src/schema.json',
  ],
  ['resolvable', 'libs/access/src/imports-nothing.ts', './nowhere.js'],
];

/** Imports that the rules must let pass: each stands close to one that they must not. */
const allowed: readonly [file: string, imported: string][] = [
  ['apps/facility/src/composes.ts', '@beamtime/access-app'],
  ['apps/cli/src/verify.ts', '@beamtime/governance/tally'],
  ['apps/cli/src/replay.ts', '@beamtime/scheduling/simulate'],
  ['apps/access/src/wires.ts', '@beamtime/access'],
  ['libs/access/src/postgres/rows.ts', 'typeorm'],
  ['libs/access/src/domain/reckons.ts', '@beamtime/kernel'],
  ['libs/access/src/domain/reckons.spec.ts', '@beamtime/testkit'],
  ['libs/access/src/joins.int-spec.ts', '@beamtime/governance/testing'],
  ['libs/platform/src/connects.ts', 'pg'],
];

/** What the seeds and the allowed imports need to stand on. */
const ground: Readonly<Record<string, string>> = {
  'libs/platform/src/cycle-b.ts': "import './cycle-a.js';",
  'libs/access/src/ports.ts': 'export {};',
  'apps/agent/src/main.ts': 'export {};',
  'apps/agent/src/innocent.ts': "import '@beamtime/platform';",
  'apps/runner/src/schema.json': '{}',
  'libs/governance/src/tally.ts': "import './domain/count.js';",
  'libs/governance/src/domain/count.ts': 'export {};',
  'libs/scheduling/src/simulate.ts': "import './simulation/replays.js';",
  'libs/scheduling/src/simulation/replays.ts': "import '../domain/decides.js';",
  'libs/scheduling/src/domain/decides.ts': 'export {};',
  'libs/scheduling/src/cycle/load-snapshot.ts': 'export {};',
};

interface Violation {
  readonly rule: { readonly name: string };
  readonly from: string;
}

let folder: string;
let violations: readonly Violation[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'beamtime-boundaries-'));
  layOut();
  violations = await cruise();
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The repository's own packages and settings, with nothing in them but the imports under test. */
function layOut(): void {
  for (const name of ['package.json', 'tsconfig.base.json', '.dependency-cruiser.cjs'])
    cpSync(join(root, name), join(folder, name));
  for (const kind of ['apps', 'libs'])
    for (const name of readdirSync(join(root, kind))) {
      const manifest = join(root, kind, name, 'package.json');
      if (!existsSync(manifest)) continue;
      mkdirSync(join(folder, kind, name, 'src'), { recursive: true });
      cpSync(manifest, join(folder, kind, name, 'package.json'));
      for (const entry of ['index', 'testing']) write(`${kind}/${name}/src/${entry}.ts`, 'export {};');
      link(join(folder, kind, name), packageNameOf(manifest));
    }
  for (const name of ['typeorm', 'pg', 'bullmq', 'ioredis', '@aws-sdk/client-s3', '@nestjs/common'])
    link(join(root, 'node_modules', name), name);
  for (const [file, text] of Object.entries(ground)) write(file, text);
  for (const [, file, imported] of seeds) write(file, `import '${imported}';`);
  for (const [file, imported] of allowed) write(file, `import '${imported}';`);
}

function packageNameOf(manifest: string): string {
  return (createRequire(import.meta.url)(manifest) as { name: string }).name;
}

function link(target: string, name: string): void {
  const path = join(folder, 'node_modules', name);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path);
}

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), `${text}\n`);
}

function cruise(): Promise<readonly Violation[]> {
  const cruiser = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const args = [cruiser, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'apps', 'libs'];
  return new Promise((resolve, reject) => {
    // Its exit code is the number of violations, so an answer counts whatever the code is.
    execFile(process.execPath, args, { cwd: folder, maxBuffer: 64 * 1024 ** 2 }, (error, stdout) => {
      if (stdout === '') reject(error ?? new Error('dependency-cruiser said nothing'));
      else resolve((JSON.parse(stdout) as { summary: { violations: Violation[] } }).summary.violations);
    });
  });
}

describe('npm run check', () => {
  it.each(seeds)('catches by %s that %s imports %s', (rule, file) => {
    const caught = violations.filter(({ from }) => from === file).map((violation) => violation.rule.name);
    expect(caught).toContain(rule);
  });

  it.each(allowed)('lets %s import %s', (file) => {
    expect(violations.filter(({ from }) => from === file)).toEqual([]);
  });

  it('has a seeded violation for every rule', () => {
    const seeded = new Set(seeds.map(([rule]) => rule));
    expect(rules.forbidden.map(({ name }) => name).filter((name) => !seeded.has(name))).toEqual([]);
  });
});
