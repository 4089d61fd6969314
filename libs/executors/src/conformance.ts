import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Executor, outputFiles, type ProgramRef, type ProgramSpec } from './executor.js';

/** One behaviour that every executor keeps to; run by the tests of each. */
export interface ConformanceCase {
  readonly name: string;
  run(place: ConformancePlace): Promise<void>;
}

/** What an executor under test brings. Its runner command runs the script that `script` of the job file names. */
export interface ConformancePlace {
  readonly executor: Executor;
  /** The same place after a restart of the agent. */
  restarted(): Executor;
  /** A fresh folder. */
  workdir(): string;
  /** How long a program may take to start here. */
  readonly patienceMs: number;
}

/** Stands in for the runner, as a program for Node: runs the shell script that the job file holds. */
export const scriptRunner = `import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
const { script } = JSON.parse(readFileSync(process.argv[process.argv.indexOf('--job') + 1], 'utf8'));
const child = spawn('/bin/sh', ['-c', script], { stdio: 'inherit' });
for (const signal of ['SIGUSR1', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? 1));
`;

function expect(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(
  what: string,
  patienceMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  for (const deadlineMs = Date.now() + patienceMs; Date.now() < deadlineMs; await pause(30)) {
    if (await holds()) return;
  }
  throw new Error(`not within ${patienceMs} ms: ${what}`);
}

let jobs = 0;
/** Starts a shell script as a program. */
async function begin(
  place: ConformancePlace,
  script: string,
  more: Partial<ProgramSpec> = {},
): Promise<{ ref: ProgramRef; workdir: string }> {
  const workdir = place.workdir();
  mkdirSync(workdir, { recursive: true });
  const jobFile = join(workdir, 'job.json');
  writeFileSync(jobFile, JSON.stringify({ script }));
  const started = await place.executor.start({
    jobId: `job_${++jobs}`,
    attempt: 1,
    kind: 'train',
    workdir,
    jobFile,
    gpus: 1,
    gpuIndices: [0],
    env: {},
    maxSeconds: 600,
    ...more,
  });
  expect(started.ok, `the program starts: ${started.ok ? '' : started.error.detail}`);
  return { ref: started.value, workdir };
}

async function endOf(place: ConformancePlace, ref: ProgramRef): Promise<{ exitCode: number | null }> {
  let exitCode: number | null = null;
  await until('the program ends', place.patienceMs, async () => {
    const status = await place.executor.poll(ref);
    if (status.state === 'ended') exitCode = status.exitCode;
    return status.state === 'ended';
  });
  return { exitCode };
}

async function appears(place: ConformancePlace, file: string): Promise<void> {
  await until(`${file} appears`, place.patienceMs, () => existsSync(file));
}

export const executorConformance: readonly ConformanceCase[] = [
  {
    name: 'runs a program in its folder and tells its exit code',
    async run(place) {
      const { ref, workdir } = await begin(place, 'echo here > found; exit 7');
      const { exitCode } = await endOf(place, ref);
      expect(exitCode === 7, `exit code 7, not ${exitCode}`);
      expect(existsSync(join(workdir, 'found')), 'it ran in its workdir');
      await place.executor.forget(ref);
    },
  },
  {
    name: 'starts the program that an attempt brings in the place of the runner, once however many GPUs it has',
    async run(place) {
      const program = ['/bin/sh', '-c', 'echo "$RANK" >> begun; printf "%s " "$@" > words; exit 5', 'own'];
      const { ref, workdir } = await begin(place, 'echo runner > runner', {
        kind: 'command',
        program,
        gpus: 2,
        gpuIndices: [0, 1],
      });
      const { exitCode } = await endOf(place, ref);
      expect(exitCode === 5, `exit code 5, not ${exitCode}`);
      const words = readFileSync(join(workdir, 'words'), 'utf8');
      const asked = `command --job ${join(workdir, 'job.json')} --workdir ${workdir} `;
      expect(words === asked, `it is told its job as a runner is, not: ${words}`);
      const begun = readFileSync(join(workdir, 'begun'), 'utf8');
      expect(begun === '\n', `it is one process without a rank, not: ${JSON.stringify(begun)}`);
      expect(!existsSync(join(workdir, 'runner')), 'the runner stays out of it');
      await place.executor.forget(ref);
    },
  },
  {
    name: 'keeps stdout and stderr apart in files that outlive it',
    async run(place) {
      const { ref, workdir } = await begin(place, 'echo said; echo complained >&2');
      await endOf(place, ref);
      expect(readFileSync(join(workdir, outputFiles.stdout), 'utf8').includes('said'), 'stdout');
      expect(readFileSync(join(workdir, outputFiles.stderr), 'utf8').includes('complained'), 'stderr');
    },
  },
  {
    name: 'says running while it runs, and kills it with all that it started',
    async run(place) {
      const { ref, workdir } = await begin(
        place,
        'trap "" TERM USR1; (trap "" TERM; while :; do date +%s%N > beat; sleep 0.05; done) & touch up; wait',
      );
      await appears(place, join(workdir, 'up'));
      expect((await place.executor.poll(ref)).state === 'running', 'running');
      await place.executor.kill(ref);
      await until('it is not running', place.patienceMs, async () => {
        return (await place.executor.poll(ref)).state !== 'running';
      });
      const beat = existsSync(join(workdir, 'beat')) ? readFileSync(join(workdir, 'beat'), 'utf8') : '';
      await pause(300);
      const later = existsSync(join(workdir, 'beat')) ? readFileSync(join(workdir, 'beat'), 'utf8') : '';
      expect(beat === later, 'its child is dead too');
    },
  },
  {
    name: 'passes on the wish for a checkpoint, and the exit code for requeue comes back',
    async run(place) {
      const { ref, workdir } = await begin(
        place,
        'trap "echo saved > state; exit 75" USR1; touch up; while :; do sleep 0.05; done',
      );
      await appears(place, join(workdir, 'up'));
      await place.executor.signal(ref, 'checkpoint');
      const { exitCode } = await endOf(place, ref);
      expect(exitCode === 75, `exit code 75, not ${exitCode}`);
      expect(existsSync(join(workdir, 'state')), 'it saved its state');
    },
  },
  {
    name: 'gives a program its own variables and not those of the agent',
    async run(place) {
      process.env['BEAMTIME_TEST_SECRET'] = 'of the agent';
      try {
        const { ref, workdir } = await begin(place, 'env > seen', {
          env: { BEAMTIME_TEST_OWN: 'of the program' },
        });
        await endOf(place, ref);
        const seen = readFileSync(join(workdir, 'seen'), 'utf8');
        expect(seen.includes('BEAMTIME_TEST_OWN=of the program'), 'its own');
        expect(!seen.includes('BEAMTIME_TEST_SECRET'), "not the agent's");
      } finally {
        delete process.env['BEAMTIME_TEST_SECRET'];
      }
    },
  },
  {
    name: 'after a restart finds what still runs, and can kill it',
    async run(place) {
      const { ref, workdir } = await begin(place, 'touch up; while :; do sleep 0.05; done');
      await appears(place, join(workdir, 'up'));
      const again = place.restarted();
      const found = (await again.leftovers()).find((left) => left.jobId === ref.jobId);
      expect(found !== undefined, 'it is found');
      expect((await again.poll(found)).state === 'running', 'and runs');
      await again.kill(found);
      await until('it is gone', place.patienceMs, async () => (await again.poll(found)).state !== 'running');
      await again.forget(found);
      expect(!(await again.leftovers()).some((left) => left.jobId === ref.jobId), 'it is forgotten');
    },
  },
  {
    name: 'starts a training on two GPUs as a gang of two, which saves its state as one',
    async run(place) {
      const { ref, workdir } = await begin(
        place,
        `echo "$WORLD_SIZE $LOCAL_RANK $MASTER_ADDR:$MASTER_PORT" > told$RANK
         trap 'sleep 0.$RANK; echo saved > saved$RANK; exit 75' USR1
         touch up$RANK; while :; do sleep 0.05; done`,
        { gpus: 2, gpuIndices: [0, 1] },
      );
      await appears(place, join(workdir, 'up0'));
      await appears(place, join(workdir, 'up1'));
      const told = [0, 1].map((rank) =>
        readFileSync(join(workdir, `told${rank}`), 'utf8')
          .trim()
          .split(' '),
      );
      expect(told[0]?.[0] === '2' && told[1]?.[0] === '2', 'both know of two');
      expect(told[0]?.[1] === '0' && told[1]?.[1] === '1', 'each knows its place');
      expect(told[0]?.[2] === told[1]?.[2], 'they meet at one address');
      await place.executor.signal(ref, 'checkpoint');
      const { exitCode } = await endOf(place, ref);
      expect(exitCode === 75, `exit code 75, not ${exitCode}`);
      expect(existsSync(join(workdir, 'saved0')) && existsSync(join(workdir, 'saved1')), 'both saved');
    },
  },
  {
    name: 'ends a gang when one of its processes fails, with its exit code and its words',
    async run(place) {
      const { ref, workdir } = await begin(
        place,
        '[ "$RANK" = 1 ] && { echo no more memory >&2; exit 9; }; while :; do sleep 0.05; done',
        { gpus: 2, gpuIndices: [0, 1] },
      );
      const { exitCode } = await endOf(place, ref);
      expect(exitCode === 9, `exit code 9, not ${exitCode}`);
      expect(readFileSync(join(workdir, outputFiles.stderr), 'utf8').includes('no more memory'), 'its words');
    },
  },
  {
    name: 'does nothing to a program that has ended',
    async run(place) {
      const { ref } = await begin(place, 'exit 0');
      await endOf(place, ref);
      await place.executor.signal(ref, 'stop');
      await place.executor.kill(ref);
      const status = await place.executor.poll(ref);
      expect(status.state === 'ended' && status.exitCode === 0, 'it has ended as it did');
    },
  },
];
