import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Real Slurm clusters of one test file's own (infra/slurm). */
export interface SlurmClusters {
  /** slurm.conf of a cluster, by the name that was asked for. */
  conf(name: string): string;
  /** A Slurm command at a cluster; answers its stdout, throws when it fails. */
  run(name: string, command: string, args: readonly string[]): Promise<string>;
  /** SIGKILL to slurmctld: jobs run on, commands are not answered. */
  killController(name: string): Promise<void>;
  /** Starts it again; with `wipe` it has forgotten all jobs. */
  startController(name: string, options?: { wipe?: boolean }): Promise<void>;
  stop(): Promise<void>;
}

const script = fileURLToPath(new URL('../../../infra/slurm/slurm.mjs', import.meta.url));
const runFile = promisify(execFile);
const commandTimeoutMs = 60_000;

/** Says why there is none, for the skipped test's message. */
export const noSlurm =
  'Slurm is not installed: apt-get install --no-install-recommends slurm-wlm munge (as root), on Linux';

/**
 * Brings clusters up, each described as `slurm.mjs up --cluster` takes it (`alpha:gpus=2,nodes=2`); undefined where
 * Slurm is not installed. In CI (`CI=true`) that is an error: there it is installed, and its tests must run.
 */
export async function startSlurm(...specs: readonly string[]): Promise<SlurmClusters | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'beamtime-slurm-'));
  const call = async (...args: string[]): Promise<string> => {
    const { stdout } = await runFile(process.execPath, [script, ...args, '--folder', folder], {
      timeout: commandTimeoutMs,
    });
    return stdout;
  };
  const clusters = specs.flatMap((spec) => ['--cluster', spec]);
  let confs: Map<string, string>;
  try {
    const up = JSON.parse(await call('up', '--json', ...clusters)) as { name: string; conf: string }[];
    confs = new Map(up.map(({ name, conf }) => [name, conf]));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (process.env['CI'] !== 'true' && /Slurm is not installed|need Linux/.test(String(error))) {
      console.log(`skipped: ${noSlurm}`);
      return undefined;
    }
    throw error;
  }
  const conf = (name: string): string => {
    const path = confs.get(name);
    if (path === undefined) throw new Error(`no cluster ${name} was asked for`);
    return path;
  };
  return {
    conf,
    run: async (name, command, args) => {
      const env = { PATH: process.env['PATH'], SLURM_CONF: conf(name) };
      return (await runFile(command, [...args], { env, timeout: commandTimeoutMs })).stdout;
    },
    killController: async (name) => void (await call('kill-controller', '--name', name)),
    startController: async (name, { wipe = false } = {}) =>
      void (await call('start-controller', '--name', name, ...(wipe ? ['--wipe'] : []))),
    stop: async () => void (await call('down')),
  };
}
