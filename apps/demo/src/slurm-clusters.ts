import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DemoOptions } from './world.js';

const runFile = promisify(execFile);
const timeoutMs = 120_000;

/** Slurm is not here, or does not start: a message for whoever runs the demo. */
export class SlurmMissing extends Error {
  override readonly name = 'SlurmMissing';
}

/** Two real Slurm clusters of two CPU slots each, by infra/slurm; what an earlier demo left up is ended first. */
export async function startSlurm(options: DemoOptions): Promise<{ name: string; conf: string }[]> {
  await endSlurm(options);
  const clusters = ['nord', 'sur'].flatMap((name) => ['--cluster', `${name}:cpus=2`]);
  try {
    const { stdout } = await runFile(
      process.execPath,
      [scriptOf(options), 'up', '--json', '--folder', folderOf(options), ...clusters],
      { timeout: timeoutMs },
    );
    return JSON.parse(stdout) as { name: string; conf: string }[];
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new SlurmMissing(stderr?.trim() || (error as Error).message);
  }
}

/** Ends them with all that they run; nothing happens when there are none. */
export async function endSlurm(options: DemoOptions): Promise<void> {
  if (!existsSync(folderOf(options))) return;
  await runFile(process.execPath, [scriptOf(options), 'down', '--folder', folderOf(options)], {
    timeout: timeoutMs,
  });
}

/** Before anything else is started: where Slurm is not installed the set-up installs it, or says why it cannot. */
export async function requireSlurm(options: DemoOptions): Promise<void> {
  const setup = join(options.repositoryDir, 'scripts/setup.mjs');
  const exitCode = await new Promise<number | null>((resolve) => {
    const child = spawn(process.execPath, [setup, '--slurm'], { stdio: 'inherit' });
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  });
  if (exitCode !== 0) throw new SlurmMissing('The demo on Slurm needs Slurm; without it: npm run demo');
}

const scriptOf = ({ repositoryDir }: DemoOptions): string => join(repositoryDir, 'infra/slurm/slurm.mjs');
const folderOf = ({ demoDir }: DemoOptions): string => join(demoDir, 'slurm');
