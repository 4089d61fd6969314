import type { CommandExecutor, CommandJob } from '@beamtime/contracts';
import { containerPath } from '@beamtime/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { invocationOf, type Run } from './engines.js';
import { admitsHost, admitsImage, fullImageName } from './match-image.js';
import { hostPath, planMounts } from './plan-mounts.js';
import { fitsPattern, folderBeforeWildcards } from './posix-pattern.js';
import { containerSettings } from './settings.js';

const executor: CommandExecutor = {
  image: 'debian:12',
  command: ['sort', '-n', '/data/in.txt', '--out=/out/sorted', '/database'],
  workdir: '/out',
  stdin: null,
  stdout: null,
  stderr: null,
  env: { NAME: 'a b', PLACE: '/data/x', LINES: 'one\ntwo' },
  ignoreError: false,
};
const run: Run = {
  executor,
  name: 'beamtime-job-1-0',
  root: '/work/root',
  mounts: [
    { path: '/out', isFolder: true },
    { path: '/data', isFolder: true },
  ],
  cpus: 2,
  memoryMiB: 512,
  devices: ['0', '3'],
  hasStdin: true,
  envFile: '/work/variables',
  hostFolders: ['usr', 'bin', 'home', 'tmp', 'proc'],
  hidden: [
    { path: '/etc/agent.key', isFolder: false },
    { path: '/srv/state', isFolder: true },
    { path: '/home/me/key', isFolder: false },
  ],
  user: { uid: 1_000, gid: 1_000 },
};
const settings = (engine: string, more: object = {}) =>
  containerSettings.parse({ engine, images: ['*'], ...more });
const has = (args: readonly string[], ...run: string[]) =>
  args.some((_, index) => run.every((word, offset) => args[index + offset] === word));

describe('the command line of a container engine', () => {
  it('of podman and docker takes every right away that a command does not need, and mounts what is shared', () => {
    for (const engine of ['podman', 'docker']) {
      const { program, args, env, envLines, remove } = invocationOf(settings(engine), run);
      expect(program).toBe(engine);
      expect(has(args, '--cap-drop', 'ALL')).toBe(true);
      expect(has(args, '--security-opt', 'no-new-privileges')).toBe(true);
      expect(has(args, '--network', 'none')).toBe(true);
      expect(has(args, '--cpus', '2', '--memory', '512m')).toBe(true);
      expect(has(args, '--mount', 'type=bind,src=/work/root/out,dst=/out')).toBe(true);
      expect(has(args, '--workdir', '/out')).toBe(true);
      // The program is the first word, whatever the image's entry point.
      expect(has(args, '--entrypoint', 'sort', 'debian:12', '-n')).toBe(true);
      // Variables of the task are none of the engine's, and stand in no process list.
      expect(env).toEqual({});
      expect(envLines).toBe('NAME=a b\nPLACE=/data/x\n');
      expect(has(args, '--env', 'LINES=one\ntwo')).toBe(true);
      expect(remove).toEqual([engine, 'rm', '--force', 'beamtime-job-1-0']);
    }
    expect(has(invocationOf(settings('docker'), run).args, '--gpus', '"device=0,3"')).toBe(true);
    expect(has(invocationOf(settings('docker'), run).args, '--user', '1000:1000')).toBe(true);
    expect(has(invocationOf(settings('podman'), run).args, '--device', 'nvidia.com/gpu=3')).toBe(true);
    const own = settings('podman', {
      command: ['/opt/podman', '--runtime', 'runc'],
      runOptions: ['--tls'],
      network: true,
    });
    const { program, args, remove } = invocationOf(own, run);
    expect([program, ...args.slice(0, 3)]).toEqual(['/opt/podman', '--runtime', 'runc', 'run']);
    expect(has(args, '--network', 'bridge')).toBe(true);
    expect(has(args, '--tls', 'debian:12')).toBe(true);
    expect(remove?.slice(0, 4)).toEqual(['/opt/podman', '--runtime', 'runc', 'rm']);
  });

  it('of apptainer hands variables in by its own prefix, which no shell reads', () => {
    const { args, env } = invocationOf(settings('apptainer'), run);
    expect(args[0]).toBe('exec');
    expect(has(args, '--containall', '--cleanenv')).toBe(true);
    expect(has(args, '--bind', '/work/root/data:/data')).toBe(true);
    expect(has(args, '--nv')).toBe(true);
    expect(has(args, 'docker://debian:12', 'sort')).toBe(true);
    expect(env).toMatchObject({ APPTAINERENV_LINES: 'one\ntwo', APPTAINERENV_CUDA_VISIBLE_DEVICES: '0,3' });
  });

  it('of bubblewrap shows this machine read-only, and neither homes nor what belongs to the agent', () => {
    const { args } = invocationOf(settings('bubblewrap'), { ...run, devices: [] });
    expect(has(args, '--unshare-all')).toBe(true);
    expect(has(args, '--ro-bind-try', '/usr', '/usr')).toBe(true);
    expect(args).not.toContain('/home');
    expect(has(args, '--ro-bind', '/dev/null', '/etc/agent.key')).toBe(true);
    expect(has(args, '--tmpfs', '/srv/state')).toBe(true);
    expect(args).not.toContain('/home/me/key');
    expect(has(args, '--bind', '/work/root/out', '/out')).toBe(true);
    expect(has(args, '--clearenv')).toBe(true);
    expect(has(args, '--setenv', 'LINES', 'one\ntwo')).toBe(true);
    expect(has(args, '--', 'sort', '-n')).toBe(true);
  });

  it('without an engine puts the paths of the task to where they lie, and nothing else', () => {
    const { program, args, cwd, env } = invocationOf(settings('none'), run);
    expect(program).toBe('sort');
    expect(args).toEqual(['-n', '/work/root/data/in.txt', '--out=/work/root/out/sorted', '/database']);
    expect(cwd).toBe('/work/root/out');
    expect(env).toMatchObject({ PLACE: '/work/root/data/x', NAME: 'a b', CUDA_VISIBLE_DEVICES: '0,3' });
  });
});

describe('an image', () => {
  it('has one full name, however short it is written', () => {
    expect(fullImageName('debian')).toBe('docker.io/library/debian:latest');
    expect(fullImageName('bitnami/redis:7')).toBe('docker.io/bitnami/redis:7');
    expect(fullImageName('quay.io/a/b')).toBe('quay.io/a/b:latest');
    expect(fullImageName('localhost:5000/a@sha256:00')).toBe('localhost:5000/a@sha256:00');
  });

  it('runs only where the operator has named it', () => {
    expect(admitsImage(['debian'], 'docker.io/library/debian:latest')).toBe(true);
    expect(admitsImage(['debian'], 'debian:12')).toBe(false);
    expect(admitsImage(['docker.io/library/*'], 'debian:12')).toBe(true);
    expect(admitsImage(['docker.io/library/*'], 'evil.io/docker.io/library/x')).toBe(false);
    expect(admitsImage(['quay.io/lab.a/*'], 'quay.io/labxa/tool')).toBe(false);
    const url = (text: string) => new URL(text);
    expect(admitsHost(['*.example.org'], url('https://a.example.org/x'))).toBe(true);
    expect(admitsHost(['*.example.org'], url('https://example.org.evil/x'))).toBe(false);
    expect(admitsHost(['a.org:8080'], url('http://a.org/x'))).toBe(false);
    expect(admitsHost([], url('http://localhost/x'))).toBe(false);
  });
});

describe('what the commands of a task share', () => {
  const job = (more: Partial<CommandJob>): CommandJob => ({
    schema: 'beamtime.command-job/1',
    jobId: 'job',
    attempt: 1,
    kind: 'command',
    contents: [],
    downloads: [],
    staged: [],
    volumes: [],
    executors: [{ ...executor, workdir: null }],
    outputs: [],
    cpus: null,
    memoryMiB: null,
    diskMiB: null,
    ...more,
  });

  it('is each folder once, and single files only where no folder holds them', () => {
    const mounts = planMounts(
      job({
        contents: [
          { path: '/etc/tool.conf', content: '' },
          { path: '/data/in/a', content: '' },
        ],
        volumes: ['/data'],
        outputs: [
          { path: '/data/out/x', url: 'u', pathPrefix: null, type: 'FILE' },
          { path: '/res/run-*/log[0-9]', url: 'u', pathPrefix: '/res', type: 'FILE' },
        ],
      }),
    );
    expect(mounts).toEqual([
      { path: '/data', isFolder: true },
      { path: '/res', isFolder: true },
      { path: '/etc/tool.conf', isFolder: false },
    ]);
    expect(hostPath('/r', mounts, '/data/in/a')).toBe('/r/data/in/a');
    expect(hostPath('/r', mounts, '/etc/tool.conf')).toBe('/r/etc/tool.conf');
    expect(hostPath('/r', mounts, '/etc/passwd')).toBeUndefined();
  });

  it('is never outside the folder that stands for it', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = containerPath.safeParse(`/${text}`);
        if (!parsed.success) return;
        expect(new URL(`file:///work/root${parsed.data.replace(/[?#%]/g, '_')}`).pathname).toMatch(
          /^\/work\/root\//,
        );
      }),
    );
    for (const path of ['/..', '/a/../../etc', '/a/./b', 'a', '/', '/a,dst=/etc', '/a:/b', '/a\nb'])
      expect(containerPath.safeParse(path).success).toBe(false);
  });
});

describe('a pattern of file names', () => {
  it('matches as POSIX 2.13 says', () => {
    expect(fitsPattern('/out/*.txt', '/out/a.txt')).toBe(true);
    expect(fitsPattern('/out/*.txt', '/out/deep/a.txt')).toBe(false);
    expect(fitsPattern('/out/*', '/out/.hidden')).toBe(false);
    expect(fitsPattern('/out/.*', '/out/.hidden')).toBe(true);
    expect(fitsPattern('/out/r?.csv', '/out/r1.csv')).toBe(true);
    expect(fitsPattern('/out/[a-c]x', '/out/bx')).toBe(true);
    expect(fitsPattern('/out/[!a-c]x', '/out/bx')).toBe(false);
    expect(fitsPattern('/out/[]x]', '/out/]')).toBe(true);
    expect(fitsPattern('/out/[[:digit:]]', '/out/7')).toBe(true);
    expect(fitsPattern('/out/[z-a]', '/out/m')).toBe(false);
    expect(fitsPattern('/out/[x', '/out/[x')).toBe(true);
    expect(folderBeforeWildcards('/a/b/c*/d')).toBe('/a/b');
  });

  it('without wildcards matches itself only', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z.+(){}|^$-]{1,12}$/),
        fc.stringMatching(/^[a-z.+(){}|^$-]{1,12}$/),
        (a, b) => {
          expect(fitsPattern(`/${a}`, `/${a}`)).toBe(true);
          if (a !== b) expect(fitsPattern(`/${a}`, `/${b}`)).toBe(false);
        },
      ),
    );
  });
});
