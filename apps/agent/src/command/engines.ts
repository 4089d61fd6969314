import type { CommandExecutor } from '@beamtime/contracts';
import type { Mount } from './plan-mounts.js';
import type { ContainerSettings } from './settings.js';

/** What an engine is asked to run. */
export interface Run {
  readonly executor: CommandExecutor;
  /** Unique on this machine, so that a container can be ended by its name. */
  readonly name: string;
  /** Folder under which container paths lie on this machine. */
  readonly root: string;
  readonly mounts: readonly Mount[];
  readonly cpus: number | null;
  readonly memoryMiB: number | null;
  /** GPUs by the names that CUDA_VISIBLE_DEVICES knows; empty on machines without. */
  readonly devices: readonly string[];
  readonly hasStdin: boolean;
  /** A file that holds the variables as lines, outside what the command sees. */
  readonly envFile: string;
  /** Names in `/` of this machine, for engines that show its files. */
  readonly hostFolders: readonly string[];
  readonly hidden: readonly { readonly path: string; readonly isFolder: boolean }[];
  readonly user: { readonly uid: number; readonly gid: number };
}

/** A program to start, with all that goes into it. Variables of the task never become variables of the engine. */
export interface Invocation {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Beside PATH, HOME and the locale of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Written to `envFile` first, where the engine reads one. */
  readonly envLines: string | null;
  /** What ends it and all that it started, even when the program itself is gone; null where its processes do. */
  readonly remove: readonly string[] | null;
}

/** Enough for a data loader with many workers, too few for a fork bomb. */
const pidsMax = 8_192;

export function invocationOf(settings: ContainerSettings, run: Run): Invocation {
  switch (settings.engine) {
    case 'podman':
    case 'docker':
      return container(settings, settings.engine, run);
    case 'apptainer':
      return apptainer(settings, run);
    case 'bubblewrap':
      return bubblewrap(settings, run);
    case 'none':
      return onThisMachine(run);
  }
}

/** https://docs.podman.io/en/latest/markdown/podman-run.1.html; docker takes the same options. */
function container(settings: ContainerSettings, engine: 'podman' | 'docker', run: Run): Invocation {
  const { executor, mounts, root } = run;
  const [program = engine, ...own] = settings.command ?? [engine];
  // The file holds one variable per line: those with line breaks go into the command line.
  const lines = Object.entries(executor.env).filter(([, value]) => !/[\n\r]/.test(value));
  const broken = Object.entries(executor.env).filter(([, value]) => /[\n\r]/.test(value));
  const gpus =
    run.devices.length === 0
      ? []
      : engine === 'docker'
        ? ['--gpus', `"device=${run.devices.join(',')}"`]
        : run.devices.flatMap((device) => ['--device', `nvidia.com/gpu=${device}`]);
  const args = [
    ...own,
    'run',
    '--rm',
    '--name',
    run.name,
    '--network',
    settings.network ? 'bridge' : 'none',
    '--cap-drop',
    'ALL',
    '--security-opt',
    'no-new-privileges',
    '--pids-limit',
    String(pidsMax),
    // Files that the command makes belong to this user, not to root.
    ...(engine === 'docker' && run.user.uid !== 0 ? ['--user', `${run.user.uid}:${run.user.gid}`] : []),
    ...(engine === 'podman' && run.user.uid !== 0 ? ['--userns', 'keep-id'] : []),
    ...(run.cpus === null ? [] : ['--cpus', String(run.cpus)]),
    ...(run.memoryMiB === null ? [] : ['--memory', `${run.memoryMiB}m`]),
    ...gpus,
    ...(run.hasStdin ? ['--interactive'] : []),
    ...(executor.workdir === null ? [] : ['--workdir', executor.workdir]),
    ...mounts.flatMap(({ path }) => ['--mount', `type=bind,src=${root}${path},dst=${path}`]),
    ...(lines.length === 0 ? [] : ['--env-file', run.envFile]),
    ...broken.flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    // The first word of the command is the program, whatever the image's own entry point.
    '--entrypoint',
    executor.command[0] ?? '',
    ...settings.runOptions,
    executor.image,
    ...executor.command.slice(1),
  ];
  return {
    program,
    args,
    cwd: '/',
    env: {},
    envLines: lines.length === 0 ? null : lines.map(([name, value]) => `${name}=${value}\n`).join(''),
    remove: [program, ...own, 'rm', '--force', run.name],
  };
}

/** https://apptainer.org/docs/user/main/cli/apptainer_exec.html */
function apptainer(settings: ContainerSettings, run: Run): Invocation {
  const { executor, mounts, root } = run;
  const [program = 'apptainer', ...own] = settings.command ?? ['apptainer'];
  const image = /^[a-z]+:\/\//.test(executor.image) ? executor.image : `docker://${executor.image}`;
  return {
    program,
    args: [
      ...own,
      'exec',
      '--containall',
      '--cleanenv',
      '--no-home',
      '--writable-tmpfs',
      ...(settings.network ? [] : ['--net', '--network', 'none']),
      ...(run.devices.length === 0 ? [] : ['--nv']),
      ...(run.cpus === null ? [] : ['--cpus', String(run.cpus)]),
      ...(run.memoryMiB === null ? [] : ['--memory', `${run.memoryMiB}M`]),
      ...(executor.workdir === null ? [] : ['--pwd', executor.workdir]),
      ...mounts.flatMap(({ path }) => ['--bind', `${root}${path}:${path}`]),
      ...settings.runOptions,
      image,
      ...executor.command,
    ],
    cwd: '/',
    // Its own way to hand variables in: a file of them would be read by a shell.
    env: {
      ...Object.fromEntries(
        Object.entries(executor.env).map(([name, value]) => [`APPTAINERENV_${name}`, value]),
      ),
      ...(run.devices.length === 0 ? {} : { APPTAINERENV_CUDA_VISIBLE_DEVICES: run.devices.join(',') }),
    },
    envLines: null,
    remove: null,
  };
}

/** Not shown to a command even where it sees the files of this machine. */
const ownRoot = new Set(['proc', 'dev', 'tmp', 'run', 'sys', 'root', 'home']);

/**
 * https://github.com/containers/bubblewrap: this machine's programs, read-only, in a root of their own, so that the
 * paths of a task exist for it and nothing else does: no home folders, no network, no other processes.
 */
function bubblewrap(settings: ContainerSettings, run: Run): Invocation {
  const { executor, mounts, root } = run;
  const [program = 'bwrap', ...own] = settings.command ?? ['bwrap'];
  return {
    program,
    args: [
      ...own,
      '--unshare-all',
      ...(settings.network ? ['--share-net'] : []),
      '--die-with-parent',
      '--new-session',
      '--cap-drop',
      'ALL',
      '--tmpfs',
      '/',
      ...run.hostFolders
        .filter((name) => !ownRoot.has(name))
        .flatMap((name) => ['--ro-bind-try', `/${name}`, `/${name}`]),
      '--proc',
      '/proc',
      ...(run.devices.length === 0 ? ['--dev', '/dev'] : ['--dev-bind', '/dev', '/dev']),
      '--tmpfs',
      '/tmp',
      ...run.hidden.flatMap(({ path, isFolder }) =>
        ownRoot.has(path.split('/')[1] ?? '')
          ? []
          : isFolder
            ? ['--tmpfs', path]
            : ['--ro-bind', '/dev/null', path],
      ),
      ...mounts.flatMap(({ path }) => ['--bind', `${root}${path}`, path]),
      '--chdir',
      executor.workdir ?? '/tmp',
      '--clearenv',
      ...Object.entries({ ...plainEnvironment(run), ...executor.env }).flatMap(([name, value]) => [
        '--setenv',
        name,
        value,
      ]),
      ...settings.runOptions,
      '--',
      ...executor.command,
    ],
    cwd: '/',
    env: {},
    envLines: null,
    // It is the parent of all processes of its own process namespace: they end with it.
    remove: null,
  };
}

/**
 * As a process of this machine. The paths of the task do not exist here: where one of them, or a path below it, stands
 * in the command line or in a variable, it is put to where it lies. Inside files nothing is changed.
 */
function onThisMachine(run: Run): Invocation {
  const { executor, root, mounts } = run;
  const shared = mounts.map((mount) => mount.path).sort((a, b) => b.length - a.length);
  const workdir = executor.workdir;
  if (workdir !== null && !shared.includes(workdir)) shared.push(workdir);
  const translate = (text: string): string => {
    if (shared.length === 0) return text;
    const names = shared.map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
    return text.replace(
      new RegExp(`(^|[\\s=:,;'"(<>|&])(${names})(?=$|[/\\s:,;'")<>|&])`, 'g'),
      (_, before: string, path: string) => `${before}${root}${path}`,
    );
  };
  const [program = '', ...args] = executor.command.map(translate);
  return {
    program,
    args,
    cwd: workdir === null ? root : `${root}${workdir}`,
    env: {
      ...plainEnvironment(run),
      HOME: root,
      TMPDIR: root,
      ...Object.fromEntries(Object.entries(executor.env).map(([name, value]) => [name, translate(value)])),
    },
    envLines: null,
    remove: null,
  };
}

function plainEnvironment(run: Run): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/tmp',
    LANG: 'C.UTF-8',
    ...(run.devices.length === 0 ? {} : { CUDA_VISIBLE_DEVICES: run.devices.join(',') }),
  };
}
