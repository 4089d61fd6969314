// Real Slurm clusters on one machine, for developers, the demo and tests: all state of a set of clusters lies in one
// folder (keys, ports, logs, spool), so several sets run side by side, and taking one down leaves nothing behind.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { setupLock } from '../../scripts/setup-lock.mjs';
import { endDaemon, freePorts, isAlive, killSteps, pause, startDaemon } from './daemons.mjs';
import { writeConf } from './write-conf.mjs';

/** A cluster set that cannot be brought up or down; the message is for whoever asked for it. */
export class SlurmTestError extends Error {}

const installHint = 'Debian, Ubuntu: apt-get install --no-install-recommends slurm-wlm munge (as root)';
const programs = [
  'munged',
  'slurmctld',
  'slurmd',
  'sbatch',
  'squeue',
  'scontrol',
  'scancel',
  'sinfo',
  'srun',
];
/** sockaddr_un holds 108 bytes with the terminating one. */
const socketPathMax = 100;
const readyTimeoutMs = 30_000;
const commandTimeoutMs = 10_000;
const startTries = 3;

/** Throws, and says what to install, when Slurm or munge is missing. */
export function requireInstalled() {
  if (process.platform !== 'linux') throw new SlurmTestError('Slurm test clusters need Linux');
  const missing = programs.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0)
    throw new SlurmTestError(`Slurm is not installed here (no ${missing.join(', ')}). ${installHint}`);
}

/**
 * Brings clusters up, or completes what is up already. `clusters`: name, nodes, cpusPerNode, gpusPerNode, gpuType,
 * memoryMiBPerNode, minJobAgeSeconds. Answers, for each, its name and slurm.conf.
 */
export async function up(folder, clusters) {
  requireInstalled();
  const root = resolve(folder);
  mkdirSync(root, { recursive: true, mode: 0o755 });
  const lock = setupLock(join(root, 'lock'));
  await lock.take();
  try {
    const answers = [];
    for (const cluster of clusters) answers.push(await upOne(join(root, cluster.name), cluster));
    return answers;
  } finally {
    lock.release();
  }
}

/** Ends every cluster of a folder with all their jobs, and removes the folder. Nothing happens when there is none. */
export async function down(folder) {
  const root = resolve(folder);
  if (!existsSync(root)) return [];
  const lock = setupLock(join(root, 'lock'));
  await lock.take();
  try {
    const names = clusterNames(root);
    await Promise.all(names.map((name) => downOne(join(root, name))));
    return names;
  } finally {
    lock.release();
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Each cluster of a folder, whether its daemons live, and where its slurm.conf is. */
export function status(folder) {
  const root = resolve(folder);
  if (!existsSync(root)) return [];
  return clusterNames(root).map((name) => {
    const { daemons = {} } = readState(join(root, name));
    return {
      name,
      conf: join(root, name, 'slurm.conf'),
      daemons: Object.fromEntries(Object.entries(daemons).map(([key, daemon]) => [key, isAlive(daemon)])),
    };
  });
}

/** SIGKILL to a cluster's slurmctld: what runs runs on, and no command is answered. */
export async function killController(folder, name) {
  const { daemons } = knownState(folder, name);
  await endDaemon(daemons.slurmctld, 'SIGKILL');
}

/** Starts a cluster's slurmctld again; with `wipe` it has forgotten every job, as after the loss of its disk. */
export async function startController(folder, name, { wipe = false } = {}) {
  const home = join(resolve(folder), name);
  const state = knownState(folder, name);
  if (isAlive(state.daemons.slurmctld)) return;
  if (wipe) {
    rmSync(join(home, 'state'), { recursive: true, force: true });
    mkdirSync(join(home, 'state'));
  }
  startOne(home, state, 'slurmctld');
  await untilReady(home, state);
}

async function upOne(home, cluster) {
  mkdirSync(home, { recursive: true });
  for (let tries = 1; ; tries++) {
    const state = await prepare(home, cluster);
    const names = ['munged', 'slurmctld', ...state.nodes.map((node) => `slurmd-${node}`)];
    if (!isAlive(state.daemons.munged)) rmSync(state.mungeSocket, { force: true });
    for (const name of names) {
      if (isAlive(state.daemons[name])) continue;
      startOne(home, state, name);
      if (name === 'munged') await untilSocket(state);
    }
    try {
      await untilReady(home, state);
      return { name: cluster.name, conf: state.conf };
    } catch (error) {
      // A port may have been taken between our look and the daemon's start: others, then.
      await downOne(home);
      if (tries >= startTries) throw error;
    }
  }
}

/** Keys, ports and files of a cluster; those that are there are kept. */
async function prepare(home, cluster) {
  const known = readState(home);
  const wanted = JSON.stringify(cluster);
  if (known.wanted === wanted) return known;
  if (known.wanted !== undefined) await downOne(home);
  mkdirSync(home, { recursive: true });
  const keyPath = join(home, 'munge.key');
  if (!existsSync(keyPath)) writeFileSync(keyPath, randomBytes(1024), { mode: 0o400 });
  const socketFolder =
    join(home, 'munge.socket').length <= socketPathMax
      ? home
      : mkdtempSync(join(tmpdir(), 'beamtime-munge-'));
  const mungeSocket = join(socketFolder, 'munge.socket');
  const [controllerPort, ...nodePorts] = await freePorts(1 + cluster.nodes);
  const conf = writeConf(home, cluster, { controllerPort, nodePorts, mungeSocket });
  const nodes = nodePorts.map((_, i) => `${cluster.name}-n${i + 1}`);
  const state = { wanted, name: cluster.name, conf, nodes, mungeSocket, socketFolder, daemons: {} };
  writeState(home, state);
  return state;
}

function startOne(home, state, name) {
  const log = join(home, 'log', `${name}.out`);
  const inHome = (file) => join(home, file);
  const args = {
    munged: [
      '--foreground',
      '--force',
      `--key-file=${inHome('munge.key')}`,
      `--socket=${state.mungeSocket}`,
      `--pid-file=${inHome('munged.pid')}`,
      `--log-file=${inHome('log/munged.log')}`,
      `--seed-file=${inHome('munged.seed')}`,
    ],
    slurmctld: ['-D', '-f', state.conf],
  }[name] ?? ['-D', '-f', state.conf, '-N', name.slice('slurmd-'.length)];
  const program = name.startsWith('slurmd-') ? 'slurmd' : name;
  state.daemons[name] = startDaemon(findProgram(program), args, log, environment(state.conf));
  writeState(home, state);
}

async function untilSocket(state) {
  for (const deadlineMs = Date.now() + readyTimeoutMs; Date.now() < deadlineMs; await pause(20))
    if (existsSync(state.mungeSocket)) return;
  throw new SlurmTestError('munged does not start');
}

/** Every node has reported to the controller, and can be given work. */
async function untilReady(home, state) {
  for (const deadlineMs = Date.now() + readyTimeoutMs; Date.now() < deadlineMs; await pause(100)) {
    if (!isAlive(state.daemons.slurmctld)) break;
    const asked = ask(state.conf, 'sinfo', ['-h', '-N', '-p', 'main', '-o', '%T']);
    const states = asked.stdout.split('\n').filter(Boolean);
    if (asked.status !== 0 || states.length < state.nodes.length) continue;
    if (states.every((word) => /^(idle|mixed|allocated|completing)$/.test(word))) return;
  }
  throw new SlurmTestError(`cluster ${state.name} does not get ready; its logs: ${join(home, 'log')}`);
}

async function downOne(home) {
  const state = readState(home);
  if (state.daemons !== undefined) {
    if (isAlive(state.daemons.slurmctld)) {
      const jobs = ask(state.conf, 'squeue', ['-h', '-o', '%A']).stdout.split('\n').filter(Boolean);
      if (jobs.length > 0) ask(state.conf, 'scancel', [...new Set(jobs)]);
    }
    const { munged, ...others } = state.daemons;
    await Promise.all(Object.values(others).map((daemon) => endDaemon(daemon)));
    // Steps outlive their daemon, and may be starting more: until none is left.
    for (let round = 0; killSteps(state.conf) > 0 && round < 20; round++) await pause(50);
    if (munged !== undefined) await endDaemon(munged);
    if (state.socketFolder !== home) rmSync(state.socketFolder, { recursive: true, force: true });
  }
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}

function ask(conf, program, args) {
  const asked = spawnSync(findProgram(program), args, {
    encoding: 'utf8',
    env: environment(conf),
    timeout: commandTimeoutMs,
  });
  return { status: asked.status, stdout: asked.stdout ?? '' };
}

function environment(conf) {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LANG: 'C.UTF-8', SLURM_CONF: conf };
}

function clusterNames(root) {
  return readdirSync(root).filter((name) => existsSync(join(root, name, 'cluster.json')));
}

function knownState(folder, name) {
  const state = readState(join(resolve(folder), name));
  if (state.daemons === undefined) throw new SlurmTestError(`there is no cluster ${name} in ${folder}`);
  return state;
}

function readState(home) {
  try {
    return JSON.parse(readFileSync(join(home, 'cluster.json'), 'utf8'));
  } catch {
    return {};
  }
}

function writeState(home, state) {
  const path = join(home, 'cluster.json');
  writeFileSync(`${path}.new`, JSON.stringify(state, null, 2));
  renameSync(`${path}.new`, path);
}

/** Daemons lie in sbin, which not every path holds. */
function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin', '/usr/local/sbin'];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
