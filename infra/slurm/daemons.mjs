// The daemons of a Slurm test cluster as processes of this machine: started apart from whoever starts them, known by
// pid and start time, and ended by nothing else.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const pollMs = 50;
const orderlyEndMs = 5_000;

/** Starts a daemon in the foreground of a session of its own, its output in a file. Answers its identity. */
export function startDaemon(program, args, logPath, env) {
  const log = openSync(logPath, 'a', 0o600);
  try {
    const child = spawn(program, args, { env, detached: true, stdio: ['ignore', log, log], cwd: '/' });
    child.on('error', () => undefined);
    child.unref();
    if (child.pid === undefined) throw new Error(`${program} cannot be started`);
    return { pid: child.pid, startedAt: startOf(child.pid) };
  } finally {
    closeSync(log);
  }
}

export function isAlive(daemon) {
  return daemon !== undefined && daemon.startedAt !== '' && startOf(daemon.pid) === daemon.startedAt;
}

/** Ends a daemon, in order if it can be, and waits until it is gone. */
export async function endDaemon(daemon, signal = 'SIGTERM') {
  const forceAtMs = Date.now() + (signal === 'SIGKILL' ? 0 : orderlyEndMs);
  for (let sent = false; isAlive(daemon); await pause(pollMs)) {
    const force = Date.now() >= forceAtMs;
    if (!sent || force) tryKill(daemon.pid, force ? 'SIGKILL' : signal);
    sent = true;
  }
}

/**
 * Kills job steps whose daemon is gone, with all that they started. A step carries its cluster's SLURM_CONF; no other
 * process is looked at, since a developer's shell may carry it too.
 */
export function killSteps(confPath) {
  const processes = readProcesses();
  const steps = processes.filter(({ pid, name }) => name.startsWith('slurmstepd') && usesConf(pid, confPath));
  const doomed = new Set(steps.map(({ pid }) => pid));
  for (let size = -1; size !== doomed.size; ) {
    size = doomed.size;
    for (const { pid, parent } of processes) if (doomed.has(parent)) doomed.add(pid);
  }
  for (const pid of doomed) tryKill(pid, 'SIGKILL');
  return doomed.size;
}

/** Ports that are free now; they are all held until all are found, so that they differ. */
export async function freePorts(count) {
  const probes = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve, reject) => {
          const probe = createServer();
          probe.once('error', reject);
          probe.listen(0, '0.0.0.0', () => resolve(probe));
        }),
    ),
  );
  const ports = probes.map((probe) => probe.address().port);
  await Promise.all(probes.map((probe) => new Promise((closed) => probe.close(closed))));
  return ports;
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** When the process of this pid started; empty when there is none, or only its zombie. */
function startOf(pid) {
  const fields = statOf(pid);
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? '' : fields[19];
}

function readProcesses() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const fields = statOf(name);
      if (fields === undefined) return [];
      return [{ pid: Number(name), parent: Number(fields[1]), name: readProc(name, 'cmdline') }];
    });
}

/** Fields of /proc/PID/stat after the parenthesised name: [0] state, [1] parent, [19] start. */
function statOf(pid) {
  const stat = readProc(pid, 'stat');
  return stat === '' ? undefined : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function usesConf(pid, confPath) {
  return readProc(pid, 'environ').split('\0').includes(`SLURM_CONF=${confPath}`);
}

function readProc(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function tryKill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
