import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { noSlurm, type SlurmClusters, startSlurm } from '@beamtime/testkit';
import { afterAll, beforeAll, describe, expect, it as plainIt } from 'vitest';
import { appears, commandsWith, linesOf, sleep, slurmPlace, started, until } from './testing.js';

const folder = mkdtempSync(join(tmpdir(), 'beamtime-slurm-faults-'));
let slurm: SlurmClusters | undefined;
beforeAll(async () => {
  // A job that has ended is forgotten at once, and no books are kept. A cluster for each test that breaks one.
  const names = ['frail', 'waits', 'wiped', 'unsaved', 'ends'];
  slurm = await startSlurm(...names.map((name) => `${name}:cpus=8,forget=2`));
});
afterAll(async () => {
  await slurm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const site = (): SlurmClusters => slurm as SlurmClusters;
let places = 0;
const placeAt = (cluster: string, more: Parameters<typeof slurmPlace>[2] = {}) =>
  slurmPlace(join(folder, `place${++places}`), site().conf(cluster), more);
/** Slurm has forgotten whatever has ended. */
const forgotten = (cluster: string): Promise<void> =>
  until(
    'Slurm forgets',
    async () => (await site().run(cluster, 'squeue', ['-h', '-t', 'all'])) === '',
    90_000,
  );
/** slurmctld saves what it knows some seconds later; one that is killed before that starts again what runs. */
async function killSaved(cluster: string): Promise<void> {
  const saved = join(dirname(site().conf(cluster)), 'state', 'job_state');
  const nowMs = Date.now();
  // A change makes it save, with all that is known by now.
  for (const id of (await site().run(cluster, 'squeue', ['-h', '-o', '%A'])).split('\n').filter(Boolean))
    await site().run(cluster, 'scontrol', ['update', `jobid=${id}`, 'comment=saved']);
  await until('the controller saves its state', () => existsSync(saved) && statSync(saved).mtimeMs > nowMs);
  await site().killController(cluster);
}
const nameOf = (ref: { handle: string }): string => (JSON.parse(ref.handle) as { name: string }).name;

const it = (name: string, run: () => Promise<void>): void =>
  plainIt(
    name,
    async ({ skip }) => {
      if (slurm === undefined) return skip(noSlurm);
      await run();
    },
    180_000,
  );

describe('a Slurm that fails', () => {
  it('by answering late has each job once, found again by its name', async () => {
    // The first call submits and then never says so; the second never gets as far.
    const bin = commandsWith(
      join(folder, 'late-bin'),
      'sbatch',
      `if mkdir ${folder}/late 2>/dev/null; then $real "$@" >/dev/null; sleep 60 & wait; fi\nexec $real "$@"`,
    );
    const place = placeAt('frail', { bin, commandTimeoutMs: 1_500 });
    const job = await place.begin('echo run >> runs; exit 4');
    expect(await place.endOf(job.ref)).toMatchObject({ exitCode: 4 });
    expect(linesOf(job.file('runs'))).toEqual(['run']);
  });

  it('by submitting after we have given up and tried again runs a job once', async () => {
    const bin = commandsWith(
      join(folder, 'twice-bin'),
      'sbatch',
      `if mkdir ${folder}/twice 2>/dev/null; then trap "" TERM; (sleep 3; exec $real "$@" >${folder}/twice/id) & exec sleep 60; fi\nexec $real "$@"`,
    );
    const place = placeAt('frail', { bin, commandTimeoutMs: 1_000, settleMs: 200 });
    const job = await place.begin('echo run >> runs; sleep 4; exit 5');
    await appears(join(folder, 'twice/id'));
    expect(await place.endOf(job.ref)).toMatchObject({ exitCode: 5 });
    await until('no double is left', async () => (await site().run('frail', 'squeue', ['-h'])) === '');
    expect(linesOf(job.file('runs'))).toEqual(['run']);
  });

  it('to take a submission at all says why, and whatever turns up later is cancelled', async () => {
    const bin = commandsWith(
      join(folder, 'never-bin'),
      'sbatch',
      // Its request is under way with the script in it, whatever becomes of the file.
      `trap "" TERM; cp "\${@: -1}" ${folder}/kept.sh; set -- "\${@:1:$#-1}" ${folder}/kept.sh
       (sleep 3; exec $real --begin=now+60 "$@" >${folder}/never-id) & exec sleep 60`,
    );
    const place = placeAt('frail', { bin, commandTimeoutMs: 500, settleMs: 100, submitTries: 1 });
    const answer = await place.executor.start(place.prepare('touch ran').spec);
    expect(answer.ok ? '' : answer.error.detail).toContain('did not answer within');
    expect(place.executor.unavailable()).toContain('takes no jobs now');
    await until(
      'it turns up',
      () => existsSync(join(folder, 'never-id')) && linesOf(join(folder, 'never-id'))[0] !== '',
    );
    await until('and is cancelled', async () => (await site().run('frail', 'squeue', ['-h'])) === '');
  });

  it('to keep books still tells how a job ended that it has forgotten', async () => {
    const place = placeAt('frail');
    const [well, cancelled] = [await place.begin('exit 6'), await place.begin('touch up; exec sleep 600')];
    await appears(cancelled.file('up'));
    // Behind the back of the agent, which does not look until nothing is left to see.
    await site().run('frail', 'scancel', [`--name=${nameOf(cancelled.ref)}`]);
    await forgotten('frail');
    expect(await place.endOf(well.ref)).toMatchObject({ state: 'ended', exitCode: 6 });
    expect(await place.endOf(cancelled.ref)).toMatchObject({ cause: { kind: 'cancelled' } });
  });
});

describe.concurrent('a controller that is killed', () => {
  it('is waited for: what runs is not lost, what is started meanwhile is started once', async () => {
    const place = placeAt('waits', { commandTimeoutMs: 3_000 });
    const running = await place.begin('touch up; sleep 12; exit 7');
    const longer = await place.begin('touch up; while :; do sleep 0.05; done');
    await Promise.all([appears(running.file('up')), appears(longer.file('up'))]);
    await site().killController('waits');
    await until(
      'it is not known how it is',
      async () => (await place.executor.poll(longer.ref)).state === 'unknown',
    );
    expect(place.executor.unavailable()).toContain('Slurm does not answer');
    const { spec, workdir } = place.prepare('echo run >> runs; exit 8');
    const starting = place.executor.start(spec);
    // Its end needs no controller.
    expect(await place.endOf(running.ref)).toMatchObject({ state: 'ended', exitCode: 7 });
    await site().startController('waits');
    const ref = started(await starting);
    expect(await place.endOf(ref)).toMatchObject({ state: 'ended', exitCode: 8 });
    expect(linesOf(join(workdir, 'runs'))).toEqual(['run']);
    await until(
      'it is seen to run on',
      async () => (await place.executor.poll(longer.ref)).state === 'running',
    );
    expect(place.executor.unavailable()).toBeNull();
    await place.executor.kill(longer.ref);
  });

  it('and has lost all it knew: the job is reported gone, and nothing of it runs on', async () => {
    const place = placeAt('wiped');
    const job = await place.begin('touch up; while :; do date +%s%N > beat; sleep 0.05; done');
    await appears(job.file('up'));
    await site().killController('wiped');
    await site().startController('wiped', { wipe: true });
    const end = await place.endOf(job.ref);
    expect(end.state === 'vanished' || (end.state === 'ended' && end.exitCode !== 0)).toBe(true);
    await place.executor.kill(job.ref);
    const beat = readFileSync(job.file('beat'), 'utf8');
    await sleep(500);
    expect(readFileSync(job.file('beat'), 'utf8')).toBe(beat);
    // Its numbers begin anew, and are nobody's old ones.
    const next = await place.begin('exit 3');
    expect(await place.endOf(next.ref)).toMatchObject({ exitCode: 3 });
  });

  it('before it saved its state starts a job again that still runs: the attempt goes back, nothing runs on', async () => {
    const place = placeAt('unsaved');
    const job = await place.begin('echo run >> runs; while :; do date +%s%N > beat; sleep 0.05; done');
    await appears(job.file('runs'));
    await site().killController('unsaved');
    await site().startController('unsaved');
    const end = await place.endOf(job.ref);
    expect(end.state === 'ended' ? (end.exitCode ?? 75) : 0).not.toBe(0);
    await place.executor.kill(job.ref);
    const beat = readFileSync(job.file('beat'), 'utf8');
    await sleep(500);
    expect(readFileSync(job.file('beat'), 'utf8')).toBe(beat);
    expect(linesOf(job.file('runs'))).toEqual(['run']);
  });

  it('while an agent ends its programs: they end all the same', async () => {
    const place = placeAt('ends');
    const job = await place.begin('touch up; while :; do date +%s%N > beat; sleep 0.05; done');
    await appears(job.file('up'));
    await killSaved('ends');
    const killing = place.executor.kill(job.ref);
    await until('it is over', async () => {
      const beat = linesOf(job.file('beat'))[0];
      await sleep(400);
      return linesOf(job.file('beat'))[0] === beat;
    });
    await site().startController('ends');
    await killing;
    expect(await place.executor.poll(job.ref)).toMatchObject({ state: 'ended', exitCode: null });
  });
});
