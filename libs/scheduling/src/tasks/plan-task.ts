import {
  type CommandOutput,
  type CommandTemplate,
  commandRoot,
  commandTemplate,
  type FileEntry,
  isHalving,
  type JobResources,
  partsOfSpaceUrl,
  schedulingLimits,
  type TesBackendParameter,
  type TesTaskRequest,
  tesBackendParameters,
  tesDefaultMaxSeconds,
} from '@beamtime/contracts';
import { gpuShareLeastMilli, gpuShareStepMilli, wholeGpuMilli } from '../domain/gpu-share.js';

/** A fault of a task, named as the HTTP API names it. */
export interface TaskFault {
  readonly path: string;
  readonly message: string;
}

/** What a task asks for beside its commands, out of `resources`. */
export interface TaskWishes {
  readonly lab: string | null;
  readonly resources: JobResources;
  readonly attemptLimit: number;
  readonly priority: number;
  /** What has no effect here, in words; they go to the system logs of the task. */
  readonly notices: readonly string[];
}

/** An input by its place in a space, to be looked up. */
export interface SpaceInput {
  readonly index: number;
  readonly space: string;
  readonly path: string;
  readonly isFolder: boolean;
}

const gibInMib = 1_024;
/** GA4GH counts gigabytes, kernels and container engines binary ones. */
const mibOfGb = (gb: number): number => Math.max(4, Math.ceil((gb * 1e9) / (gibInMib * gibInMib)));
const wildcards = /[*?[]/;

/** The task as it is kept and told: unsupported parameters are neither, as the specification has it. */
export function keptDocument(task: TesTaskRequest): TesTaskRequest {
  const given = task.resources?.backend_parameters;
  if (given === undefined) return task;
  const known = Object.entries(given).filter(([key]) => isKnown(key.toLowerCase()));
  return { ...task, resources: { ...task.resources, backend_parameters: Object.fromEntries(known) } };
}

function isKnown(key: string): key is TesBackendParameter {
  return Object.hasOwn(tesBackendParameters, key);
}

/** Reads `resources`. Keys are case-insensitive; unknown ones are faults when the client is strict, else noticed. */
export function wishesOf(task: TesTaskRequest, faults: TaskFault[]): TaskWishes {
  const resources = task.resources ?? {};
  const given = new Map<TesBackendParameter, string>();
  const notices: string[] = [];
  for (const [written, value] of Object.entries(resources.backend_parameters ?? {})) {
    const key = written.toLowerCase();
    if (isKnown(key)) given.set(key, value);
    else if (resources.backend_parameters_strict === true) {
      faults.push({
        path: `body.resources.backend_parameters.${written}`,
        message: `not supported, and backend_parameters_strict is set; supported are ${Object.keys(tesBackendParameters).join(', ')}`,
      });
    } else notices.push(`backend parameter ${written.slice(0, 100)} is not supported and has no effect`);
  }
  const whole = (key: TesBackendParameter, least: number, most: number, otherwise: number): number => {
    const text = given.get(key);
    if (text === undefined) return otherwise;
    const value = /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    faults.push({
      path: `body.resources.backend_parameters.${key}`,
      message: `a whole number from ${least} to ${most}, not ${JSON.stringify(text.slice(0, 40))}`,
    });
    return otherwise;
  };
  if ((resources.zones?.length ?? 0) > 0)
    notices.push('zones have no effect: the consortium places tasks itself');
  if (resources.preemptible === false)
    notices.push('a task may be preempted; it then starts again by itself, at its first executor');
  const gpuType = given.get('beamtime_gpu_type')?.trim();
  const memory = whole('beamtime_gpu_memory_mib', 0, 10_000_000, 0);
  const gpus = whole('beamtime_gpus', 1, schedulingLimits.gpusPerJob, 1);
  const share = whole('beamtime_gpu_share_milli', gpuShareLeastMilli, wholeGpuMilli, wholeGpuMilli);
  if (share % gpuShareStepMilli !== 0 || (share < wholeGpuMilli && gpus !== 1)) {
    const message = gpus === 1 ? 'in steps of 10' : 'only a task of one GPU can have a part of it';
    faults.push({ path: 'body.resources.backend_parameters.beamtime_gpu_share_milli', message });
  }
  const gpusMin = whole('beamtime_gpus_min', 1, gpus, gpus);
  if (!isHalving(gpus, gpusMin)) {
    const message = `beamtime_gpus, which is ${gpus}, halved once or several times, not ${gpusMin}`;
    faults.push({ path: 'body.resources.backend_parameters.beamtime_gpus_min', message });
  }
  return {
    lab: given.get('beamtime_lab')?.trim() || null,
    resources: {
      gpus,
      ...(gpusMin === gpus ? {} : { gpusMin }),
      ...(share === wholeGpuMilli ? {} : { gpuShareMilli: share }),
      ...(gpuType === undefined || gpuType === '' ? {} : { gpuType: gpuType.slice(0, 60) }),
      ...(memory === 0 ? {} : { gpuMemoryMiB: memory }),
      maxSeconds: whole('beamtime_max_seconds', 1, schedulingLimits.maxSeconds, tesDefaultMaxSeconds),
      checkpoint: false,
    },
    attemptLimit: whole('beamtime_attempts', 1, schedulingLimits.attemptsPerJob, 3),
    priority: whole('beamtime_priority', -100, 100, 0),
    notices,
  };
}

/** Inputs that lie in spaces; the others come literally or from the web. */
export function spaceInputsOf(task: TesTaskRequest, faults: TaskFault[]): SpaceInput[] {
  const found: SpaceInput[] = [];
  for (const [index, input] of (task.inputs ?? []).entries()) {
    const path = `body.inputs.${index}.url`;
    if (hasContent(input)) {
      if (input.type === 'DIRECTORY') faults.push({ path, message: 'a folder has no content; give a url' });
      continue;
    }
    const url = input.url ?? '';
    if (url === '') {
      faults.push({ path, message: 'needed, unless content is given' });
    } else if (/^https?:\/\//i.test(url)) {
      if (input.type === 'DIRECTORY')
        faults.push({ path, message: 'a folder cannot be fetched over http; use beamtime://' });
    } else {
      // A folder may be written with a slash at its end.
      const parts = partsOfSpaceUrl(url.replace(/\/+$/, ''));
      if (parts === undefined) faults.push({ path, message: unsupported(url) });
      else found.push({ index, ...parts, isFolder: input.type === 'DIRECTORY' });
    }
  }
  return found;
}

function unsupported(url: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1];
  const what = scheme === undefined ? 'a path of your machine' : `${scheme}:`;
  return `${what} cannot be reached from the clusters; use content, http(s), or beamtime://lab_…/path (\`beamtime files put\`)`;
}

// An empty literal is one only where there is no URL: clients that send every field send ''.
const hasContent = (input: { content?: string | undefined; url?: string | undefined }): boolean =>
  input.content !== undefined && (input.content !== '' || (input.url ?? '') === '');

/** The command job of a task whose inputs have been looked up. Answers undefined when there are faults. */
export function commandOf(
  task: TesTaskRequest,
  staged: ReadonlyMap<number, readonly FileEntry[]>,
  ownSpace: string,
  faults: TaskFault[],
): CommandTemplate | undefined {
  const inputs = task.inputs ?? [];
  const resources = task.resources ?? {};
  const template = {
    kind: 'command' as const,
    contents: inputs.flatMap((input) =>
      hasContent(input) ? [{ path: tidy(input.path), content: input.content ?? '' }] : [],
    ),
    downloads: inputs.flatMap((input) =>
      !hasContent(input) && /^https?:\/\//i.test(input.url ?? '')
        ? [{ path: tidy(input.path), url: input.url ?? '' }]
        : [],
    ),
    staged: [...staged.keys()].map((index) => ({
      path: tidy(inputs[index]?.path ?? ''),
      type: inputs[index]?.type ?? ('FILE' as const),
    })),
    volumes: (task.volumes ?? []).map(tidy),
    executors: task.executors.map((executor) => ({
      image: executor.image,
      command: executor.command,
      workdir: isEmpty(executor.workdir) ? null : tidy(executor.workdir),
      stdin: isEmpty(executor.stdin) ? null : executor.stdin,
      stdout: isEmpty(executor.stdout) ? null : executor.stdout,
      stderr: isEmpty(executor.stderr) ? null : executor.stderr,
      env: executor.env ?? {},
      ignoreError: executor.ignore_error ?? false,
    })),
    outputs: (task.outputs ?? []).flatMap((output, index) => outputOf(output, index, ownSpace, faults)),
    cpus: (resources.cpu_cores ?? 0) > 0 ? resources.cpu_cores : null,
    memoryMiB: (resources.ram_gb ?? 0) > 0 ? mibOfGb(resources.ram_gb ?? 0) : null,
    diskMiB: (resources.disk_gb ?? 0) > 0 ? mibOfGb(resources.disk_gb ?? 0) : null,
  };
  refuseOverlaps(template, faults);
  const parsed = commandTemplate.safeParse(template);
  if (!parsed.success) {
    for (const issue of parsed.error.issues.slice(0, 10))
      faults.push({ path: `body.${issue.path.join('.')}`, message: issue.message });
    return undefined;
  }
  return faults.length > 0 ? undefined : parsed.data;
}

function isEmpty(text: string | undefined): text is undefined | '' {
  return text === undefined || text === '';
}

const tidy = (path: string): string => path.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');

function outputOf(
  output: NonNullable<TesTaskRequest['outputs']>[number],
  index: number,
  ownSpace: string,
  faults: TaskFault[],
): CommandOutput[] {
  const at = `body.outputs.${index}`;
  const path = tidy(output.path);
  const before = faults.length;
  if (path.lastIndexOf('/') === 0)
    faults.push({ path: `${at}.path`, message: 'put outputs into a folder: / itself cannot be mounted' });
  const hasWildcards = wildcards.test(path);
  const prefix = isEmpty(output.path_prefix) ? null : tidy(output.path_prefix);
  if (hasWildcards && prefix === null)
    faults.push({ path: `${at}.path_prefix`, message: 'needed, since path holds wildcards' });
  if (hasWildcards && prefix !== null && !path.startsWith(prefix))
    faults.push({ path: `${at}.path_prefix`, message: 'path does not begin with it' });
  const space = partsOfSpaceUrl(output.url.replace(/\/+$/, ''));
  if (space === undefined && !/^https?:\/\//i.test(output.url))
    faults.push({ path: `${at}.url`, message: unsupported(output.url) });
  if (space !== undefined && space.space !== ownSpace)
    faults.push({ path: `${at}.url`, message: `this task may write into beamtime://${ownSpace}/ only` });
  if (space === undefined && (hasWildcards || output.type === 'DIRECTORY'))
    faults.push({ path: `${at}.url`, message: 'several files need a folder in beamtime://' });
  if (faults.length > before) return [];
  return [
    {
      path,
      url: output.url.replace(/\/+$/, ''),
      pathPrefix: hasWildcards ? prefix : null,
      type: output.type ?? 'FILE',
    },
  ];
}

/** Two inputs at one place, or a file where a folder must be, would make the outcome a matter of luck. */
function refuseOverlaps(
  template: Pick<CommandTemplate, 'contents' | 'downloads' | 'staged'>,
  faults: TaskFault[],
): void {
  const files = [
    ...template.contents,
    ...template.downloads,
    ...template.staged.filter((input) => input.type === 'FILE'),
  ].map((input) => input.path);
  const seen = new Set<string>();
  for (const path of files) {
    if (seen.has(path)) faults.push({ path: 'body.inputs', message: `two inputs have the path ${path}` });
    seen.add(path);
  }
  const all = [...seen, ...template.staged.map((input) => input.path)];
  for (const path of all) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const above = path.slice(0, end);
      if (seen.has(above))
        faults.push({ path: 'body.inputs', message: `${above} would be a file and a folder` });
    }
  }
}

/** Where a looked-up file is staged in the workdir. */
export function stagedPath(containerPath: string): string {
  return `${commandRoot}${tidy(containerPath)}`;
}
