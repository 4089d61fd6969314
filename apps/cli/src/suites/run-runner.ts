import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type RunnerEvent, runnerEvent, runnerExitCodes } from '@beamtime/contracts';
import type { CliIo } from '../core/cli-io.js';
import { UsageError } from '../core/usage-error.js';

/** How a runner ended. */
export type RunnerEnd = 'done' | 'requeue' | { readonly failed: string };

/** The Python that has the runner: BEAMTIME_RUNNER_PYTHON, or the environment that set-up makes. */
export function findPython(io: CliIo): string {
  const named = io.env['BEAMTIME_RUNNER_PYTHON'];
  if (named !== undefined) return named;
  const own = join(io.cwd, '.beamtime', 'venv', 'bin', 'python');
  if (existsSync(own)) return own;
  throw new UsageError(
    `There is no ${own}: \`npm run setup\` makes it, or BEAMTIME_RUNNER_PYTHON names a Python with beamtime_runner`,
  );
}

/**
 * Runs one job in a folder and hands on its events. Ctrl-C lets the runner write a checkpoint: the same call again
 * goes on from there.
 */
export async function runRunner(
  python: string,
  kind: 'train' | 'evaluate',
  folder: string,
  onEvent: (event: RunnerEvent) => void,
): Promise<RunnerEnd> {
  const child = spawn(
    python,
    ['-m', 'beamtime_runner', kind, '--job', join(folder, 'job.json'), '--workdir', folder],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const pass = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', pass);
  process.on('SIGTERM', pass);
  let lastError = '';
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (line.trim() !== '') lastError = line;
  });
  let failed: string | undefined;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = readEvent(line);
    if (event === undefined) return;
    if (event.kind === 'failed') failed = event.detail;
    onEvent(event);
  });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', (error) => reject(new UsageError(`Cannot run ${python}: ${error.message}`)));
      child.on('close', resolve);
    });
    if (code === runnerExitCodes.done) return 'done';
    if (code === runnerExitCodes.requeue) return 'requeue';
    return { failed: failed ?? (lastError === '' ? `the runner ended with status ${code}` : lastError) };
  } finally {
    process.off('SIGINT', pass);
    process.off('SIGTERM', pass);
  }
}

function readEvent(line: string): RunnerEvent | undefined {
  try {
    const parsed = runnerEvent.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
