import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ConformancePlace, executorConformance, scriptRunner } from '../conformance.js';
import { LocalExecutor } from './local-executor.js';
import { identifyProcess } from './process-identity.js';

const folder = mkdtempSync(join(tmpdir(), 'beamtime-executor-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const runner = join(folder, 'runner.mjs');
writeFileSync(runner, scriptRunner);

const options = { command: [process.execPath, runner], stateDir: join(folder, 'state') };
let folders = 0;
const place: ConformancePlace = {
  executor: new LocalExecutor(options),
  restarted: () => new LocalExecutor(options),
  workdir: () => join(folder, `work${++folders}`),
  patienceMs: 15_000,
};

describe('the local executor', () => {
  for (const { name, run } of executorConformance) it(name, () => run(place));

  it('says what is wrong when the runner cannot be started', async () => {
    const executor = new LocalExecutor({ ...options, command: ['/nowhere/python', '-m', 'beamtime_runner'] });
    const workdir = place.workdir();
    mkdirSync(workdir);
    const started = await executor.start({
      jobId: 'job_x',
      attempt: 1,
      kind: 'train',
      workdir,
      jobFile: 'job.json',
      gpus: 1,
      gpuIndices: [0],
      env: {},
      maxSeconds: 60,
    });
    expect(started).toMatchObject({ ok: false, error: { code: 'executor.cannot-start' } });
    expect(started.ok ? '' : started.error.detail).toContain('/nowhere/python');
  });

  it('tells a program which GPUs it has, and what to keep to on one that it shares', async () => {
    const executor = new LocalExecutor({ ...options, devices: ['GPU-a', 'GPU-b', 'GPU-c'] });
    const seen = async (jobId: string, grant: { gpuIndices: number[]; gpuShareMilli?: number }) => {
      const workdir = place.workdir();
      mkdirSync(workdir);
      const jobFile = join(workdir, 'job.json');
      const script = 'env | grep -E "^(CUDA|BEAMTIME_GPU)" | sort > seen; exit 0';
      writeFileSync(jobFile, JSON.stringify({ script }));
      const gpus = grant.gpuIndices.length;
      const spec = { jobId, attempt: 1, kind: 'evaluate', workdir, jobFile, gpus, env: {}, maxSeconds: 60 };
      const started = await executor.start({ ...spec, ...grant });
      if (!started.ok) throw new Error(started.error.detail);
      await expect
        .poll(() => executor.poll(started.value), { timeout: 15_000 })
        .toMatchObject({ exitCode: 0 });
      return readFileSync(join(workdir, 'seen'), 'utf8').trim().split('\n');
    };
    expect(await seen('job_whole', { gpuIndices: [0, 2], gpuShareMilli: 1_000 })).toEqual([
      'CUDA_VISIBLE_DEVICES=GPU-a,GPU-c',
    ]);
    expect(await seen('job_part', { gpuIndices: [1], gpuShareMilli: 330 })).toEqual([
      'BEAMTIME_GPU_MEMORY_FRACTION=0.33',
      'CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=33',
      'CUDA_VISIBLE_DEVICES=GPU-b',
    ]);
  });

  it('ends a program that it is not told to keep on, and not one that it is', async () => {
    const [kept, left] = await Promise.all(
      ['job_kept', 'job_left'].map(async (jobId) => {
        const workdir = place.workdir();
        mkdirSync(workdir);
        const jobFile = join(workdir, 'job.json');
        writeFileSync(jobFile, JSON.stringify({ script: 'sleep 600' }));
        const spec = { jobId, attempt: 1, kind: 'train', workdir, jobFile, gpus: 1, gpuIndices: [0] };
        const started = await place.executor.start({ ...spec, env: {}, maxSeconds: 600 });
        if (!started.ok) throw new Error(started.error.detail);
        return started.value;
      }),
    );
    if (kept === undefined || left === undefined) throw new Error('two programs run');
    const { executor } = place;
    await Promise.all([executor.keepFor?.(kept, 2_000), executor.keepFor?.(left, 2_000)]);
    await executor.keepFor?.(kept, 600_000);
    await expect
      .poll(() => executor.poll(left), { timeout: 15_000 })
      .toMatchObject({ state: 'ended', signal: 'SIGKILL' });
    expect(await executor.poll(kept)).toEqual({ state: 'running' });
    await executor.kill(kept);
  });

  it('ends its programs when the agent itself is killed', async () => {
    const workdir = place.workdir();
    mkdirSync(workdir);
    writeFileSync(join(workdir, 'job.json'), JSON.stringify({ script: 'echo $$ > pid; sleep 600' }));
    const agent = join(folder, 'agent.mts');
    writeFileSync(
      agent,
      `import { LocalExecutor } from ${JSON.stringify(new URL('./local-executor.ts', import.meta.url).pathname)};
const executor = new LocalExecutor(${JSON.stringify({ ...options, stateDir: join(folder, 'state2') })});
await executor.start({ jobId: 'job_k', attempt: 1, kind: 'train', workdir: ${JSON.stringify(workdir)},
  jobFile: ${JSON.stringify(join(workdir, 'job.json'))}, gpus: 1, gpuIndices: [0], env: {}, maxSeconds: 600 });
setInterval(() => undefined, 1000);
`,
    );
    const dist = new URL('../../dist/local/local-executor.js', import.meta.url).pathname;
    if (!existsSync(dist)) return;
    writeFileSync(agent, readFileSync(agent, 'utf8').replace(/from "[^"]*"/, `from ${JSON.stringify(dist)}`));
    const plain = agent.replace('.mts', '.mjs');
    writeFileSync(plain, readFileSync(agent, 'utf8'));
    const child = spawn(process.execPath, [plain], { stdio: 'ignore' });
    const pidFile = join(workdir, 'pid');
    await expect
      .poll(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim() !== '', { timeout: 15_000 })
      .toBe(true);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(identifyProcess(pid)).toBeDefined();
    child.kill('SIGKILL');
    await expect.poll(() => identifyProcess(pid), { timeout: 10_000 }).toBeUndefined();
  });
});
