/**
 * GA4GH Task Execution Service 1.1.0 (https://github.com/ga4gh/task-execution-schemas): the names, fields and defaults
 * are the specification's. A task is a job of kind `command`.
 *
 * One thing the published OpenAPI contradicts itself in: a task must have `executors`, and the view MINIMAL must have
 * nothing but `id` and `state`. The text about views is followed.
 */
import { z } from 'zod';
import { commandLimits, containerPath } from './command-job.js';
import { endpoint } from './endpoint.js';

export const tesBasePath = '/ga4gh/tes/v1';
export const tesVersion = '1.1.0';

export const tesStates = [
  'UNKNOWN',
  'QUEUED',
  'INITIALIZING',
  'RUNNING',
  'PAUSED',
  'COMPLETE',
  'EXECUTOR_ERROR',
  'SYSTEM_ERROR',
  'CANCELED',
  'PREEMPTED',
  'CANCELING',
] as const;
export const tesStateSchema = z.enum(tesStates);
export type TesState = z.infer<typeof tesStateSchema>;
export const tesViewSchema = z.enum(['MINIMAL', 'BASIC', 'FULL']);
export type TesView = z.infer<typeof tesViewSchema>;

/** Keys of `backend_parameters`, in lower case; clients may write them as they like. */
export const tesBackendParameters = {
  beamtime_lab: 'Lab that the task runs for, by id or short name; needed by who belongs to several',
  beamtime_gpus: 'GPUs in one cluster, or slots of machines without; 1 by default',
  beamtime_gpus_min:
    'Fewest GPUs with which it starts when they are not all to be had: beamtime_gpus halved once or several times',
  beamtime_gpu_type: 'Kind of GPU, such as h100; any by default',
  beamtime_gpu_share_milli:
    'How much of its one GPU, in thousandths, 100 to 1000 in steps of 10; 1000 by default',
  beamtime_gpu_memory_mib: 'Least memory of each GPU, or of its part of one',
  beamtime_max_seconds: 'Bound on the running time of all attempts together; a day by default',
  beamtime_attempts: 'Failed or lost attempts after which it is given up; 3 by default',
  beamtime_priority: 'Among the tasks of the same lab, -100 to 100',
} as const;
export type TesBackendParameter = keyof typeof tesBackendParameters;
export const tesDefaultMaxSeconds = 86_400;

/** Clients of other languages send null for what they leave out. */
const orAbsent = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => (value === null ? undefined : value), schema.optional());
const text = (max: number) => orAbsent(z.string().max(max));
const textMap = (entries: number) =>
  z
    .record(z.string().max(1_000), z.string().max(10_000))
    .refine((map) => Object.keys(map).length <= entries, `at most ${entries} entries`);
const fileType = orAbsent(z.enum(['FILE', 'DIRECTORY']));

const executorRequest = z.object({
  image: z.string().min(1).max(500),
  command: z.array(z.string().max(131_072)).min(1).max(commandLimits.commandWords),
  workdir: orAbsent(z.string().max(1_000)),
  stdin: orAbsent(containerPath),
  stdout: orAbsent(containerPath),
  stderr: orAbsent(containerPath),
  env: orAbsent(textMap(commandLimits.envVariables)),
  ignore_error: orAbsent(z.boolean()),
});
const inputRequest = z.object({
  name: text(1_000),
  description: text(10_000),
  url: text(4_000),
  path: containerPath,
  type: fileType,
  content: orAbsent(z.string().max(commandLimits.contentChars)),
  streamable: orAbsent(z.boolean()),
});
const outputRequest = z.object({
  name: text(1_000),
  description: text(10_000),
  url: z.string().min(1).max(4_000),
  path: containerPath,
  path_prefix: orAbsent(z.string().max(1_000)),
  type: fileType,
});
const resourcesRequest = z.object({
  cpu_cores: orAbsent(z.number().int().min(0).max(100_000)),
  preemptible: orAbsent(z.boolean()),
  ram_gb: orAbsent(z.number().min(0).max(1_000_000)),
  disk_gb: orAbsent(z.number().min(0).max(1_000_000)),
  zones: orAbsent(z.array(z.string().max(1_000)).max(100)),
  backend_parameters: orAbsent(textMap(100)),
  backend_parameters_strict: orAbsent(z.boolean()),
});

/** A task as a client hands it in; what only the server may set is passed over. */
export const tesTaskRequest = z.object({
  name: text(1_000),
  description: text(10_000),
  inputs: orAbsent(z.array(inputRequest).max(commandLimits.files)),
  outputs: orAbsent(z.array(outputRequest).max(commandLimits.files)),
  resources: orAbsent(resourcesRequest),
  executors: z.array(executorRequest).min(1).max(commandLimits.executors),
  volumes: orAbsent(z.array(containerPath).max(commandLimits.volumes)),
  tags: orAbsent(textMap(200)),
});
export type TesTaskRequest = z.output<typeof tesTaskRequest>;

export const tesExecutorLogSchema = z.object({
  start_time: z.string().optional(),
  end_time: z.string().optional(),
  stdout: z.string().optional(),
  stderr: z.string().optional(),
  exit_code: z.number().int(),
});
export const tesTaskLogSchema = z.object({
  logs: z.array(tesExecutorLogSchema),
  metadata: z.record(z.string(), z.string()).optional(),
  start_time: z.string().optional(),
  end_time: z.string().optional(),
  outputs: z.array(
    z.object({
      url: z.string(),
      path: z.string(),
      size_bytes: z.string().describe('A whole number as text'),
    }),
  ),
  system_logs: z.array(z.string()).optional().describe('Only in the view FULL'),
});
export type TesTaskLog = z.infer<typeof tesTaskLogSchema>;

export const tesTaskSchema = z
  .object({
    id: z.string(),
    state: tesStateSchema,
    name: z.string().optional(),
    description: z.string().optional(),
    inputs: z.array(z.record(z.string(), z.unknown())).optional(),
    outputs: z.array(z.record(z.string(), z.unknown())).optional(),
    resources: z.record(z.string(), z.unknown()).optional(),
    executors: z.array(z.record(z.string(), z.unknown())).optional().describe('In BASIC and FULL'),
    volumes: z.array(z.string()).optional(),
    tags: z.record(z.string(), z.string()).optional(),
    logs: z.array(tesTaskLogSchema).optional().describe('One entry per attempt'),
    creation_time: z.string().optional(),
  })
  .meta({ id: 'TesTask' });
export type TesTask = z.infer<typeof tesTaskSchema>;

const caller = { kind: 'person-or-api-key' } as const;
const who =
  'With the token of a login the task runs for a lab of yours; with an API key the key’s allocation pays its GPU-seconds. As a bearer token, or as the password of basic authentication.';
const taskParams = z.object({ id: z.string().min(1).max(200) });
const repeated = z
  .union([z.string().max(1_000), z.array(z.string().max(1_000)).max(100)])
  .optional()
  .transform((value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]));
const view = tesViewSchema.default('MINIMAL');

export const tesServiceInfo = endpoint({
  id: 'tes.GetServiceInfo',
  method: 'GET',
  path: `${tesBasePath}/service-info`,
  access: { kind: 'public', why: 'clients learn the version and the storage before they log in' },
  summary: 'GA4GH TES 1.1: what this service is',
  response: z.object({
    id: z.string(),
    name: z.string(),
    description: z.string(),
    type: z.object({ group: z.literal('org.ga4gh'), artifact: z.literal('tes'), version: z.string() }),
    organization: z.object({ name: z.string(), url: z.url() }),
    documentationUrl: z.url(),
    version: z.string(),
    storage: z.array(z.string()),
    tesResources_backend_parameters: z.array(z.string()),
  }),
});

export const tesListTasks = endpoint({
  id: 'tes.ListTasks',
  method: 'GET',
  path: `${tesBasePath}/tasks`,
  access: caller,
  summary: 'GA4GH TES 1.1: tasks of your labs, newest first',
  query: z.object({
    name_prefix: z.string().max(1_000).optional(),
    state: tesStateSchema.optional(),
    tag_key: repeated.describe('Zipped with tag_value; without a value any value matches'),
    tag_value: repeated,
    page_size: z.coerce.number().int().min(1).max(2_047).default(256),
    page_token: z.string().max(200).optional(),
    view,
  }),
  response: z.object({ tasks: z.array(tesTaskSchema), next_page_token: z.string().optional() }),
  errors: ['request.invalid'],
});

export const tesCreateTask = endpoint({
  id: 'tes.CreateTask',
  method: 'POST',
  path: `${tesBasePath}/tasks`,
  access: caller,
  summary: 'GA4GH TES 1.1: submit a task',
  description: who,
  body: tesTaskRequest,
  // Two files of 1 MiB, written with escapes, and what a workflow engine adds.
  bodyLimitBytes: 8_388_608,
  response: z.object({ id: z.string() }),
  errors: [
    'request.invalid',
    'scheduling.unschedulable',
    'scheduling.queue-full',
    'scheduling.quota-exceeded',
    'scheduling.insufficient-reservation',
    'resource.not-found',
    'auth.forbidden',
    'limit.exceeded',
  ],
});

export const tesGetTask = endpoint({
  id: 'tes.GetTask',
  method: 'GET',
  path: `${tesBasePath}/tasks/:id`,
  access: caller,
  summary: 'GA4GH TES 1.1: one task',
  params: taskParams,
  query: z.object({ view }),
  response: tesTaskSchema,
  errors: ['resource.not-found'],
});

export const tesCancelTask = endpoint({
  id: 'tes.CancelTask',
  method: 'POST',
  // The colon is part of the path, not the beginning of a name.
  path: `${tesBasePath}/tasks/:id\\:cancel`,
  access: caller,
  summary: 'GA4GH TES 1.1: cancel a task; one that has ended stays as it is',
  params: taskParams,
  response: z.object({}),
  errors: ['resource.not-found', 'auth.forbidden'],
});
