// `npm run check`: every check that reads the source without running it, one after the other, all of them even when
// one fails. A name as argument runs only the checks whose name holds it: `npm run check -- types`.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const runner = join(root, 'apps', 'runner');
const node = (script, ...args) => [process.execPath, join(root, 'node_modules', script), ...args];
const python = (...args) => [join(root, '.beamtime', 'venv', 'bin', 'python'), '-m', ...args];

const checks = [
  { name: 'types', command: node('typescript/bin/tsc', '-b') },
  { name: 'types of the tests', command: node('typescript/bin/tsc', '-p', 'tsconfig.test.json') },
  {
    name: 'format and lint (biome)',
    command: node('@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'),
  },
  { name: 'promises and purity (eslint)', command: node('eslint/bin/eslint.js', '--max-warnings', '0', '.') },
  {
    name: 'boundaries (dependency-cruiser)',
    command: node(
      'dependency-cruiser/bin/dependency-cruise.mjs',
      ...['--config', '.dependency-cruiser.cjs', 'apps', 'libs', 'test'],
    ),
  },
  { name: 'dead code (knip)', command: node('knip/bin/knip.js', '--no-config-hints') },
  { name: 'lock file', command: [process.execPath, 'scripts/complete-lockfile.mjs', '--check'] },
  { name: 'Python lint (ruff)', command: python('ruff', 'check', '.'), cwd: runner },
  { name: 'Python types (pyright)', command: node('pyright/index.js'), cwd: runner },
];

const asked = process.argv.slice(2);
const chosen = checks.filter(({ name }) => asked.length === 0 || asked.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`No check is named so. There are: ${checks.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}

const results = chosen.map(({ name, command: [program, ...args], cwd = root }) => {
  console.log(`\n== ${name}`);
  const startedMs = Date.now();
  const ran = spawnSync(program, args, {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
    // pyright's package asks npm at each start whether there is a newer one.
    env: { ...process.env, PYRIGHT_PYTHON_IGNORE_WARNINGS: '1', NO_UPDATE_NOTIFIER: '1' },
  });
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
  const isFine = ran.status === 0;
  if (ran.error) console.error(`could not be run: ${ran.error.message}`);
  console.log(`   ${isFine ? 'passed' : 'FAILED'} in ${seconds} s`);
  // Ctrl-C reaches the check as well; nobody wants the rest of them then.
  if (ran.signal === 'SIGINT') process.exit(130);
  return { name, isFine, seconds };
});

console.log('\n== summary');
for (const { name, isFine, seconds } of results)
  console.log(`${isFine ? 'passed' : 'FAILED'}  ${seconds.padStart(6)} s  ${name}`);
const failed = results.filter(({ isFine }) => !isFine);
console.log(
  failed.length === 0
    ? `All ${results.length} checks passed.`
    : `${failed.length} of ${results.length} checks failed.`,
);
process.exit(failed.length === 0 ? 0 : 1);
