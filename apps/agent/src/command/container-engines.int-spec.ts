import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandEvent, CommandJob } from '@beamtime/contracts';
import { afterAll, describe, expect, it } from 'vitest';
import { CommandRunner } from './command-runner.js';
import { type ContainerSettings, containerSettings } from './settings.js';

const folder = mkdtempSync(join(tmpdir(), 'beamtime-engines-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const image = 'localhost/beamtime-test:1';
const works = (program: string, ...args: string[]) =>
  spawnSync(program, args, { stdio: 'ignore', timeout: 60_000 }).status === 0;

/** Podman with an image of busybox alone, in whatever way this machine lets it run; undefined where it does not. */
function findPodman(): ContainerSettings | undefined {
  const busybox = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path));
  if (busybox === undefined || !works('podman', '--version')) return undefined;
  const root = join(folder, 'image');
  mkdirSync(join(root, 'bin'), { recursive: true });
  for (const name of ['etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(root, name));
  execFileSync('cp', [busybox, join(root, 'bin', 'busybox')]);
  for (const name of ['sh', 'cat', 'echo', 'sleep', 'id', 'ls', 'tr', 'touch'])
    symlinkSync('busybox', join(root, 'bin', name));
  execFileSync('tar', ['-C', root, '-cf', join(folder, 'image.tar'), '.']);
  if (!works('podman', 'import', join(folder, 'image.tar'), image)) return undefined;
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
  for (const [command, runOptions] of [
    [['podman'], []],
    [['podman'], limits],
    // In a container without cgroups of version 2.
    [['podman', '--runtime', 'runc'], limits],
  ] as const) {
    const [program = '', ...own] = command;
    if (works(program, ...own, 'run', '--rm', '--network', 'none', ...runOptions, image, 'true'))
      return containerSettings.parse({ engine: 'podman', command, runOptions, images: ['localhost/*'] });
    if (works(program, ...own, 'run', '--rm', '--network', 'none', ...runOptions, image, 'echo'))
      return containerSettings.parse({ engine: 'podman', command, runOptions, images: ['localhost/*'] });
  }
  return undefined;
}

const found: [string, ContainerSettings | undefined][] = [
  ['podman', findPodman()],
  [
    'bubblewrap',
    works('bwrap', '--ro-bind', '/', '/', 'true')
      ? containerSettings.parse({ engine: 'bubblewrap', images: ['localhost/*'] })
      : undefined,
  ],
  ['none', containerSettings.parse({ engine: 'none', images: ['localhost/*'] })],
];
for (const [engine, settings] of found)
  if (settings === undefined)
    process.stdout.write(`Skipped: ${engine} is not installed or cannot run here\n`);

let count = 0;
async function run(settings: ContainerSettings, more: Partial<CommandJob>, stopAfterMs?: number) {
  const home = join(folder, String(++count));
  const workdir = join(home, 'work');
  mkdirSync(workdir, { recursive: true });
  const key = join(folder, 'agent.key');
  writeFileSync(key, 'secret of the agent');
  const job: CommandJob = {
    schema: 'beamtime.command-job/1',
    jobId: `job_${String(count).padStart(26, '0')}`,
    attempt: 1,
    kind: 'command',
    contents: [],
    downloads: [],
    staged: [],
    volumes: [],
    executors: [],
    outputs: [],
    cpus: null,
    memoryMiB: null,
    diskMiB: null,
    ...more,
  };
  const events: CommandEvent[] = [];
  const runner = new CommandRunner(job, { containers: settings, hidden: [key] }, workdir, (event) =>
    events.push(event),
  );
  if (stopAfterMs !== undefined) setTimeout(() => runner.stop('SIGTERM'), stopAfterMs);
  const exitCode = await runner.run();
  const text = events.flatMap((event) => (event.event === 'text' ? [event.text] : [])).join('');
  return { exitCode, events, text, workdir, key };
}
const command = (script: string, more: object = {}): CommandJob['executors'][number] => ({
  image,
  command: ['sh', '-c', script],
  workdir: null,
  stdin: null,
  stdout: null,
  stderr: null,
  env: {},
  ignoreError: false,
  ...more,
});

describe.each(found)('commands by %s', (engine, settings) => {
  it.skipIf(settings === undefined)(
    'share files, get their variables, and leave outputs',
    { timeout: 120_000 },
    async () => {
      const ran = await run(settings as ContainerSettings, {
        contents: [{ path: '/data/in.txt', content: 'text\n' }],
        volumes: ['/vol'],
        executors: [
          command('cat /data/in.txt > /vol/copy; echo "$GREETING"', {
            env: { GREETING: 'two\nlines $HOME' },
          }),
          command('tr a-z A-Z', { stdin: '/vol/copy', stdout: '/out/result.txt' }),
        ],
        outputs: [{ path: '/out/result.txt', url: 'beamtime://x/y', pathPrefix: null, type: 'FILE' }],
      });
      expect(ran.events.filter((event) => event.event === 'failed')).toEqual([]);
      expect(ran.exitCode).toBe(0);
      expect(ran.text).toContain('two\nlines $HOME');
      const output = ran.events.find((event) => event.event === 'output');
      expect(readFileSync(join(ran.workdir, output?.file ?? ''), 'utf8')).toBe('TEXT\n');
    },
  );

  it.skipIf(settings === undefined)(
    'end by their exit code, or when they are stopped',
    { timeout: 120_000 },
    async () => {
      const failed = await run(settings as ContainerSettings, {
        executors: [command('exit 5'), command('echo never')],
      });
      expect(failed.exitCode).toBe(64);
      expect(failed.events.at(-1)).toMatchObject({ event: 'failed', exitCode: 5 });
      const beganMs = Date.now();
      const stopped = await run(settings as ContainerSettings, { executors: [command('sleep 600')] }, 3_000);
      expect(stopped.exitCode).toBe(75);
      expect(Date.now() - beganMs).toBeLessThan(60_000);
    },
  );

  it.skipIf(settings === undefined || engine === 'none')(
    'see neither the files of the agent nor a network',
    { timeout: 120_000 },
    async () => {
      const key = join(folder, 'agent.key');
      const ran = await run(settings as ContainerSettings, {
        executors: [
          command(
            `cat ${key} ; ls /proc/net/dev >/dev/null && cat /proc/net/dev; touch /usr/new || echo read-only; exit 0`,
          ),
        ],
      });
      expect(ran.text).not.toContain('secret of the agent');
      expect(ran.text).not.toMatch(/eth0|ens\d|enp/);
    },
  );
});
