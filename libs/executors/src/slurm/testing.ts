import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from '@beamtime/kernel';
import { scriptRunner } from '../conformance.js';
import type { CannotStart, ProgramRef, ProgramSpec, ProgramStatus } from '../executor.js';
import { SlurmExecutor } from './slurm-executor.js';
import type { SlurmOptions } from './slurm-options.js';

const pollMs = 50;
const patienceMs = 60_000;
let programs = 0;

type Ended = Extract<ProgramStatus, { state: 'ended' | 'vanished' }>;

/** An executor at a test cluster that runs shell scripts in place of the runner, with short waits. */
export function slurmPlace(folder: string, conf: string, more: Partial<SlurmOptions> = {}) {
  mkdirSync(folder, { recursive: true });
  const runner = join(folder, 'runner.mjs');
  writeFileSync(runner, scriptRunner);
  const options: SlurmOptions = {
    command: [process.execPath, runner],
    stateDir: join(folder, 'state'),
    conf,
    pollMs: 200,
    settleMs: 500,
    gatherMs: 50,
    watchSeconds: 1,
    ...more,
  };
  const executor = new SlurmExecutor(options);

  function prepare(script: string, wish: Partial<ProgramSpec> = {}): { spec: ProgramSpec; workdir: string } {
    const jobId = `job_${++programs}`;
    const workdir = join(folder, jobId);
    mkdirSync(workdir, { recursive: true });
    const jobFile = join(workdir, 'job.json');
    writeFileSync(jobFile, JSON.stringify({ script }));
    const spec = { jobId, attempt: 1, kind: 'evaluate', workdir, jobFile, gpus: 1, gpuIndices: [0], env: {} };
    return { spec: { ...spec, maxSeconds: 600, ...wish }, workdir };
  }

  async function begin(script: string, wish: Partial<ProgramSpec> = {}) {
    const { spec, workdir } = prepare(script, wish);
    const ref = started(await executor.start(spec));
    return { ref, spec, workdir, file: (name: string): string => join(workdir, name) };
  }

  async function endOf(ref: ProgramRef, withinMs = patienceMs): Promise<Ended> {
    let last: ProgramStatus | undefined;
    await until(
      `${ref.jobId} ends`,
      async () => {
        last = await executor.poll(ref);
        return last.state === 'ended' || last.state === 'vanished';
      },
      withinMs,
    );
    return last as Ended;
  }

  return { executor, options, prepare, begin, endOf };
}

export function started(answer: Result<ProgramRef, CannotStart>): ProgramRef {
  if (!answer.ok) throw new Error(`it does not start: ${answer.error.detail}`);
  return answer.value;
}

export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = patienceMs,
): Promise<void> {
  for (const deadlineMs = Date.now() + withinMs; Date.now() < deadlineMs; await sleep(pollMs))
    if (await holds()) return;
  throw new Error(`not within ${withinMs} ms: ${what}`);
}

export const appears = (file: string): Promise<void> => until(`${file} appears`, () => existsSync(file));

export const linesOf = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A folder of Slurm's commands in which one is a shell script; `$real` in it is the real one. */
export function commandsWith(folder: string, command: string, script: string): string {
  mkdirSync(folder, { recursive: true });
  for (const name of ['sbatch', 'squeue', 'scontrol', 'scancel', 'sinfo', 'sacct']) {
    const text =
      name === command ? script.replaceAll('$real', `/usr/bin/${name}`) : `exec /usr/bin/${name} "$@"`;
    writeFileSync(join(folder, name), `#!/bin/bash\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}
