import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noSlurm, type SlurmClusters, startSlurm } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, it as plainIt } from 'vitest';
import { appears, commandsWith, linesOf, sleep, slurmPlace, started, until } from './testing.js';

const folder = mkdtempSync(join(tmpdir(), 'beamtime-slurm-jobs-'));
let slurm: SlurmClusters | undefined;
beforeAll(async () => {
  // One for what runs side by side, one for what takes nodes away.
  slurm = await startSlurm(
    'shared:nodes=3,cpus=16,gpus=4,type=a100',
    'site:nodes=2,cpus=2,gpus=2',
    'plain:cpus=2',
  );
});
afterAll(async () => {
  await slurm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

let places = 0;
const placeAt = (cluster: string, more: Parameters<typeof slurmPlace>[2] = {}) =>
  slurmPlace(join(folder, `place${++places}`), (slurm as SlurmClusters).conf(cluster), more);

const it = (name: string, run: (t: { expect: typeof import('vitest').expect }) => Promise<void>): void =>
  plainIt(
    name,
    async ({ skip, expect }) => {
      if (slurm === undefined) return skip(noSlurm);
      await run({ expect });
    },
    180_000,
  );

describe.concurrent('a job of Slurm', () => {
  it('is one task of an array when several start together, and an attempt of its own', async ({ expect }) => {
    const log = join(folder, 'array.log');
    const bin = commandsWith(join(folder, 'array-bin'), 'sbatch', `echo "$*" >> ${log}\nexec $real "$@"`);
    const place = placeAt('shared', { bin, gatherMs: 300 });
    const jobs = [3, 4, 5].map((code) =>
      place.prepare(`echo $CODE > code; env | grep -c ^SLURM_ARRAY_TASK_ID= > array; exit ${code}`, {
        env: { CODE: `it's ${code}` },
      }),
    );
    const refs = await Promise.all(jobs.map(async ({ spec }) => started(await place.executor.start(spec))));
    const ends = await Promise.all(refs.map((ref) => place.endOf(ref)));
    expect(ends.map((end) => (end.state === 'ended' ? end.exitCode : end))).toEqual([3, 4, 5]);
    expect(linesOf(log)).toHaveLength(1);
    expect(linesOf(log)[0]).toContain('--array=0-2');
    for (const [i, { workdir }] of jobs.entries()) {
      expect(readFileSync(join(workdir, 'code'), 'utf8').trim()).toBe(`it's ${i + 3}`);
      expect(readFileSync(join(workdir, 'array'), 'utf8').trim()).toBe('1');
    }
    await Promise.all(refs.map((ref) => place.executor.forget(ref)));
    expect(await place.executor.leftovers()).toEqual([]);
  });

  it('gets the GPUs that it asked for, and no secret by the command line', async ({ expect }) => {
    const log = join(folder, 'gpus.log');
    const bin = commandsWith(
      join(folder, 'gpus-bin'),
      'sbatch',
      `(echo "$*"; env) >> ${log}\nexec $real "$@"`,
    );
    const place = placeAt('shared', { bin, gpuType: 'a100', cpusPerGpu: 2 });
    const job = await place.begin('echo "$CUDA_VISIBLE_DEVICES $SLURM_CPUS_PER_TASK" > seen', {
      gpus: 2,
      env: { TOKEN: 'very-secret' },
    });
    await place.endOf(job.ref);
    expect(linesOf(job.file('seen'))[0]).toMatch(/^\d,\d 4$/);
    expect(readFileSync(log, 'utf8')).not.toContain('very-secret');
  });

  it('is a gang over nodes with the variables of torchrun, and saves its state as one', async ({
    expect,
  }) => {
    const place = placeAt('shared');
    const job = await place.begin(
      `echo "$RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR $MASTER_PORT" > told$RANK
       trap 'sleep 0.$RANK; echo saved > saved$RANK; exit 75' USR1
       touch up$RANK; while :; do sleep 0.05; done`,
      { kind: 'train', gpus: 6 },
    );
    await until('all six are up', () =>
      [0, 1, 2, 3, 4, 5].every((rank) => existsSync(job.file(`up${rank}`))),
    );
    const told = [0, 1, 2, 3, 4, 5].map((rank) => (linesOf(job.file(`told${rank}`))[0] ?? '').split(' '));
    expect(told.map(([rank]) => rank)).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(told.map(([, size, local, perNode, node]) => [size, local, perNode, node].join(' '))).toEqual([
      '6 0 3 0',
      '6 1 3 0',
      '6 2 3 0',
      '6 0 3 1',
      '6 1 3 1',
      '6 2 3 1',
    ]);
    expect(new Set(told.map(([, , , , , address, port]) => `${address}:${port}`)).size).toBe(1);
    await place.executor.signal(job.ref, 'checkpoint');
    expect(await place.endOf(job.ref)).toMatchObject({ state: 'ended', exitCode: 75 });
    expect(readdirSync(job.workdir).filter((name) => name.startsWith('saved'))).toHaveLength(6);
  });

  it('ends as a gang when one of its processes fails, and says which', async ({ expect }) => {
    const place = placeAt('shared');
    const job = await place.begin(
      '[ "$RANK" = 1 ] && { echo no more memory >&2; exit 9; }; while :; do sleep 0.05; done',
      { kind: 'train', gpus: 2 },
    );
    expect(await place.endOf(job.ref)).toMatchObject({ state: 'ended', exitCode: 9 });
    expect(readFileSync(job.file('runner.err'), 'utf8')).toMatch(
      /process 1 of 2 ended with 9: no more memory/,
    );
  });

  it('that is too large or cannot be shared evenly is refused in words', async ({ expect }) => {
    const place = placeAt('shared');
    const refusal = async (wish: Parameters<typeof place.prepare>[1]): Promise<string> => {
      const answer = await place.executor.start(place.prepare('true', wish).spec);
      return answer.ok ? 'it started' : answer.error.detail;
    };
    expect(await refusal({ kind: 'train', gpus: 7 })).toContain('7 GPUs cannot be shared evenly');
    expect(await refusal({ kind: 'serve', gpus: 5 })).toContain(
      'needs them on one node, the largest here has 4',
    );
    expect(place.executor.unavailable()).toBeNull();
  });

  it('keeps a state that it saved because Slurm said so, and goes back as preempted', async ({ expect }) => {
    // One minute is less than the 90 s of Slurm's warning, which therefore comes at once.
    const place = placeAt('shared', { timeMarginSeconds: 0 });
    const job = await place.begin("trap 'echo saved > state; exit 75' USR1; while :; do sleep 0.05; done", {
      maxSeconds: 1,
    });
    expect(await place.endOf(job.ref)).toMatchObject({
      state: 'ended',
      exitCode: 75,
      cause: { kind: 'preempted', detail: expect.stringContaining('USR1') as string },
    });
    expect(existsSync(job.file('state'))).toBe(true);
  });

  it('that does not heed its time limit is ended by Slurm, and said to have been', async ({ expect }) => {
    const place = placeAt('shared', { timeMarginSeconds: 0 });
    const job = await place.begin('touch up; trap "" USR1 TERM; while :; do sleep 0.2; done', {
      maxSeconds: 1,
    });
    await appears(job.file('up'));
    // Slurm's limits have minutes; an operator may move an end to the second, and Slurm looks every half minute.
    const { name } = JSON.parse(job.ref.handle) as { name: string };
    const id = (await slurm?.run('shared', 'squeue', ['-h', `--name=${name}`, '-o', '%A']))?.trim() ?? '';
    const endsAt = new Date(Date.now() + 2_000 - new Date().getTimezoneOffset() * 60_000).toISOString();
    await slurm?.run('shared', 'scontrol', ['update', `jobid=${id}`, `endtime=${endsAt.slice(0, 19)}`]);
    expect(await place.endOf(job.ref, 150_000)).toMatchObject({
      state: 'ended',
      cause: { kind: 'time-limit', detail: expect.stringContaining('TIMEOUT') as string },
    });
  });

  it('that an administrator cancels is told apart from one that failed', async ({ expect }) => {
    const place = placeAt('shared');
    const job = await place.begin('touch up; trap "" TERM; while :; do sleep 0.05; done');
    await appears(job.file('up'));
    const { name } = JSON.parse(job.ref.handle) as { name: string };
    await slurm?.run('shared', 'scancel', [`--name=${name}`]);
    expect(await place.endOf(job.ref)).toMatchObject({ state: 'ended', cause: { kind: 'cancelled' } });
  });

  it('that Slurm refuses is refused with its words, and the site is left alone for a while', async ({
    expect,
  }) => {
    const place = placeAt('shared', { options: ['--constraint=none-such'] });
    const refused = await place.executor.start(place.prepare('touch ran').spec);
    expect(refused.ok ? '' : refused.error.detail).toMatch(/Slurm does not take it: .*feature/i);
    expect(place.executor.unavailable()).toMatch(/feature/i);
    expect(await place.executor.leftovers()).toEqual([]);
  });

  it('is ended when its agent has been gone for too long', async ({ expect }) => {
    const place = placeAt('shared', { orphanSeconds: 2 });
    const job = await place.begin('touch up; while :; do date +%s%N > beat; sleep 0.05; done');
    await appears(job.file('up'));
    await sleep(6_000);
    const beat = linesOf(job.file('beat'));
    await sleep(500);
    expect(linesOf(job.file('beat'))).toEqual(beat);
    expect(await place.endOf(job.ref)).toMatchObject({ signal: 'SIGKILL', cause: { kind: 'node-failed' } });
  });

  it('of another agent of the same user is never touched', async ({ expect }) => {
    const [ours, theirs] = [placeAt('shared'), placeAt('shared')];
    const job = await theirs.begin('touch up; while :; do sleep 0.05; done');
    await appears(job.file('up'));
    expect(await ours.executor.leftovers()).toEqual([]);
    await ours.endOf((await ours.begin('exit 0')).ref);
    expect((await theirs.executor.poll(job.ref)).state).toBe('running');
    await theirs.executor.kill(job.ref);
  });
});

describe('a site', () => {
  it('is what Slurm says, less what is drained, and drains when no node takes work', async ({ expect }) => {
    const clusters = slurm as SlurmClusters;
    const { executor } = placeAt('site');
    const update = (node: string, state: string) =>
      clusters.run('site', 'scontrol', ['update', `nodename=${node}`, `state=${state}`, 'reason=test']);
    expect(await executor.capacity()).toMatchObject({ gpus: 4, nodes: 2, gpuType: null, draining: null });
    expect(await placeAt('shared').executor.capacity()).toMatchObject({ gpus: 12, gpuType: 'a100' });
    expect(await placeAt('plain').executor.capacity()).toMatchObject({ gpus: 2, gpuType: 'cpu', nodes: 1 });
    await update('site-n1', 'drain');
    expect(await executor.capacity()).toMatchObject({ gpus: 2, nodes: 1, draining: null });
    await update('site-n2', 'drain');
    expect((await executor.capacity()).draining).toContain('no node');
    await update('site-n1,site-n2', 'resume');
    await until('all is back', async () => (await executor.capacity()).gpus === 4);
  });

  it('of another name, or without that type of GPU, is refused with what there is', async ({ expect }) => {
    await expect(placeAt('site', { partition: 'nope' }).executor.capacity()).rejects.toThrow(/main, urgent/);
    await expect(placeAt('shared', { gpuType: 'h100' }).executor.capacity()).rejects.toThrow(/a100/);
  });

  it("whose own users come first takes a job's place; the attempt goes back and is not run twice", async ({
    expect,
  }) => {
    const clusters = slurm as SlurmClusters;
    const place = placeAt('plain');
    const job = await place.begin('echo run >> runs; trap "" TERM USR1; while :; do sleep 0.05; done', {
      gpus: 2,
    });
    await appears(job.file('runs'));
    await clusters.run('plain', 'sbatch', [
      '-p',
      'urgent',
      '--exclusive',
      '-o',
      '/dev/null',
      '--wrap',
      'sleep 4',
    ]);
    expect(await place.endOf(job.ref)).toMatchObject({ state: 'ended', cause: { kind: 'preempted' } });
    await place.executor.kill(job.ref);
    await until('the site is free again', async () => (await clusters.run('plain', 'squeue', ['-h'])) === '');
    expect(linesOf(job.file('runs'))).toEqual(['run']);
  });

  it('that is full keeps a job waiting, which ends without having begun', async ({ expect }) => {
    const place = placeAt('plain', { pendingSecondsMax: 3 });
    const first = await place.begin('touch up; while :; do sleep 0.05; done', { gpus: 2 });
    await appears(first.file('up'));
    const second = await place.begin('touch ran', { gpus: 2 });
    const third = await place.begin('touch ran', { gpus: 1 });
    await until('it waits', async () => (await place.executor.poll(second.ref)).state === 'pending');
    await place.executor.signal(second.ref, 'checkpoint');
    await place.executor.kill(second.ref);
    expect(await place.executor.poll(second.ref)).toMatchObject({ state: 'ended', exitCode: null });
    expect(await place.endOf(third.ref)).toMatchObject({ cause: { kind: 'not-started' } });
    expect(place.executor.unavailable()).toContain('did not start it');
    await place.executor.kill(first.ref);
    expect(existsSync(second.file('ran')) || existsSync(third.file('ran'))).toBe(false);
  });
});
